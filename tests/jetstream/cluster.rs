//! A cluster of three servers whose leaders are killed.

use std::collections::BTreeSet;
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use natsbridge::adapter::{Broker as _, Outgoing, SliceBody};
use natsbridge::host::{NatsClient, NatsOptions, StdPlatform};
use natsbridge::{
    BucketOptions, ConsumeOptions, Error, JetStream, NatsBridge, ObjectStore, Payload, SendOptions,
    StreamOptions,
};

use crate::common::bytes;
use crate::common::nats_server::{NatsCluster, NatsServer};
use crate::{LONG, count};

/// How long a cluster may take to elect a leader.
const ELECTION: Duration = Duration::from_secs(60);

fn start() -> NatsCluster {
    let nodes = NatsCluster::start_jetstream(3);
    let deadline = Instant::now() + ELECTION;
    while let Err(error) = jetstream(&nodes).stream_info("none") {
        if error.kind() == natsbridge::JetStreamErrorKind::NoStream {
            break;
        }
        assert!(Instant::now() < deadline, "{error:?}");
    }
    nodes
}

fn client(cluster: &NatsCluster) -> NatsClient {
    let urls: Vec<_> = cluster.nodes.iter().map(NatsServer::url).collect();
    let options = NatsOptions::new(&urls.join(","))
        .connect_timeout(Duration::from_secs(5))
        .timeout(Duration::from_secs(3));
    NatsClient::new(options)
}

fn jetstream(cluster: &NatsCluster) -> JetStream<NatsClient, StdPlatform> {
    JetStream::new(client(cluster), StdPlatform).timeout(LONG)
}

type Bridge = NatsBridge<NatsClient, ObjectStore<NatsClient, StdPlatform>, StdPlatform>;

fn bridge(cluster: &NatsCluster) -> Bridge {
    let client = client(cluster);
    let store = ObjectStore::new(client.clone(), StdPlatform, "files").unwrap();
    NatsBridge::new(client, store.timeout(LONG), StdPlatform)
}

/// The place of the node that leads a stream.
fn leader(cluster: &NatsCluster, stream: &str) -> Option<usize> {
    let mut client = client(cluster);
    let inbox = client.subscribe("leader", None).ok()?;
    let subject = format!("$JS.API.STREAM.INFO.{stream}");
    let request = Outgoing::new(&subject).reply("leader");
    client.publish(&request, &mut SliceBody::new(b"")).ok()?;
    let answer = client.next_of(inbox, LONG).ok()??;
    let info: serde_json::Value = serde_json::from_slice(&answer.payload).ok()?;
    let name = info["cluster"]["leader"].as_str()?;
    name.strip_prefix("node-")?.parse().ok()
}

/// `JETSTREAM_CLUSTER_SENDS=5000` is the whole of it.
#[test]
#[ignore = "takes minutes: three servers, whose leaders are killed three times"]
fn a_cluster_keeps_what_was_stored_while_its_leaders_are_killed() {
    let (sends, kills) = (count("JETSTREAM_CLUSTER_SENDS", 400), 3);
    let mut cluster = start();
    let replicated = StreamOptions::new("S").subject("s.>").replicas(3);
    jetstream(&cluster).ensure_stream(&replicated).unwrap();
    let mut bridge = bridge(&cluster);
    bridge
        .file_server()
        .create_bucket(&BucketOptions::default().replicas(3))
        .unwrap();
    let mut reader = self::bridge(&cluster);
    let (crash, crashes) = channel();
    let killer = thread::spawn(move || {
        for stream in crashes {
            if let Some(node) = leader(&cluster, stream) {
                println!("killing node {node}, the leader of {stream}");
                cluster.nodes[node].restart();
            }
        }
        cluster
    });
    let options = SendOptions::default()
        .stored(true)
        .timeout(ELECTION)
        .size_threshold(1000);
    let (mut done, mut failed) = (BTreeSet::new(), BTreeSet::new());
    for number in 0..sends {
        if number % (sends / (kills + 1)) == 1 && number > 1 {
            let kill = number / (sends / (kills + 1));
            crash.send(["S", "OBJ_files"][kill % 2]).unwrap();
        }
        let id = format!("m-{number}");
        let options = options.clone().msg_id(&*id);
        let data = [("file", Payload::binary(bytes(1000 + number)))];
        match bridge.smartsend("s.a", &data, &options) {
            Ok(_) => done.insert(id),
            Err(error) => {
                println!("{id}: {error:?}");
                failed.insert(id)
            }
        };
    }
    drop(crash);
    let cluster = killer.join().unwrap();
    check(&mut reader, &done, &failed);
    assert!(done.len() * 10 >= sends * 9, "{} of {sends}", done.len());
    drop(cluster);
}

/// Every message whose send returned `Ok` is there once with its file, any other at most once.
fn check(reader: &mut Bridge, done: &BTreeSet<String>, failed: &BTreeSet<String>) {
    let options = ConsumeOptions::default().batch(10).timeout(LONG);
    let mut jobs = reader.consume("S", "w", options).unwrap();
    let mut seen = BTreeSet::new();
    while seen.len() < done.len() + failed.len() {
        let job = match jobs.next(LONG) {
            Ok(Some(job)) => job,
            Ok(None) => break,
            Err(Error::JetStream(error)) if error.is_transient() => continue,
            Err(error) => panic!("{error:?}"),
        };
        let id = job.envelope.msg_id.to_string();
        let number: usize = id[2..].parse().unwrap();
        assert!(
            job.payloads[0].1.as_bytes() == Some(&bytes(1000 + number)[..]),
            "{id}"
        );
        jobs.ack_confirmed(&job).unwrap();
        assert!(done.contains(&id) || failed.contains(&id), "{id}");
        assert!(seen.insert(id.clone()), "{id} came twice");
        if job.info.pending == 0 {
            break;
        }
    }
    let missing: Vec<_> = done.difference(&seen).collect();
    assert!(missing.is_empty(), "{missing:?}");
    // Nothing that was acknowledged comes again.
    assert!(jobs.next(Duration::from_secs(2)).unwrap().is_none());
}
