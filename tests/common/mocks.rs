//! Fakes that note what they are called with.
#![allow(
    unused_parens,
    reason = "mockall needs those that the compiler does not"
)]

use std::time::Duration;

use mockall::mock;
use natsbridge::adapter::Upload;
use natsbridge::adapter::{
    Body, Broker, BrokerError, FileServer, FileServerError, Outgoing, Platform, PlatformError, Sink,
};
use natsbridge::{Message, SubscriptionId};

mock! {
    pub Broker {}

    impl Broker for Broker {
        fn max_payload(&self) -> usize;
        fn publish<'m, 'o, 'b, 'd>(
            &mut self,
            message: &'m Outgoing<'o>,
            body: &'b mut (dyn Body + 'd),
        ) -> Result<(), BrokerError>;
        fn flush(&mut self, wait: Duration) -> Result<(), BrokerError>;
        fn subscribe<'s, 'q>(
            &mut self,
            subject: &'s str,
            queue: Option<&'q str>,
        ) -> Result<SubscriptionId, BrokerError>;
        fn unsubscribe(&mut self, id: SubscriptionId) -> Result<(), BrokerError>;
        fn next(&mut self, wait: Duration) -> Result<Option<Message>, BrokerError>;
        fn next_of(
            &mut self,
            id: SubscriptionId,
            wait: Duration,
        ) -> Result<Option<Message>, BrokerError>;
        fn inbox_prefix(&self) -> &str;
    }
}

mock! {
    pub FileServer {}

    impl FileServer for FileServer {
        fn upload<'n, 'b, 'd>(
            &mut self,
            dataname: &'n str,
            body: &'b mut (dyn Body + 'd),
        ) -> Result<Upload, FileServerError>;
        fn download<'u, 's, 'd>(
            &mut self,
            url: &'u str,
            limit: u64,
            sink: &'s mut (dyn Sink + 'd),
        ) -> Result<u64, FileServerError>;
        fn owns(&self, url: &str) -> bool;
        fn delete(&mut self, upload: &Upload) -> Result<(), FileServerError>;
    }
}

mock! {
    pub Platform {}

    impl Platform for Platform {
        fn unix_millis(&self) -> u64;
        fn uptime_millis(&self) -> u64;
        fn wait(&self, duration: Duration);
        fn random(&self, out: &mut [u8]) -> Result<(), PlatformError>;
    }
}
