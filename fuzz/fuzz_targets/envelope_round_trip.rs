#![no_main]

use std::borrow::Cow;

use arbitrary::{Arbitrary, Unstructured};
use natsbridge::{Json, Payload, PayloadType, SendOptions};
use natsbridge_fuzz::round_trip::{Sending, comes_back};

libfuzzer_sys::fuzz_target!(|input: AnySending| comes_back(&input.0));

#[derive(Debug)]
struct AnySending(Sending);

impl<'a> Arbitrary<'a> for AnySending {
    fn arbitrary(input: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        let subject: String = input.arbitrary()?;
        let is_plain = input.ratio(3, 4)?;
        let count = input.int_in_range(0..=5)?;
        let payloads = (0..count).map(|_| Ok((input.arbitrary()?, payload(input)?)));
        Ok(Self(Sending {
            subject: if is_plain { "s".into() } else { subject },
            payloads: payloads.collect::<arbitrary::Result<_>>()?,
            options: options(input)?,
            max_payload: *input.choose(&[1 << 20, 2000, 1000, 700])?,
            chunk: input.int_in_range(1..=300)?,
        }))
    }
}

fn payload(input: &mut Unstructured<'_>) -> arbitrary::Result<Payload<'static>> {
    let kind = *input.choose(&PayloadType::ALL)?;
    let bytes = match kind {
        PayloadType::Text => input.arbitrary::<String>()?.into_bytes(),
        PayloadType::Dictionary => json(input, 4)?.into_bytes(),
        PayloadType::JsonTable => format!("[{}]", json(input, 4)?).into_bytes(),
        _ => input.arbitrary()?,
    };
    Ok(Payload::deserialize(kind, Cow::Owned(bytes)).expect("it is what its type demands"))
}

fn json(input: &mut Unstructured<'_>, depth: usize) -> arbitrary::Result<String> {
    let choices = if depth == 0 { 3 } else { 5 };
    Ok(match input.choose_index(choices)? {
        0 => serde_json::json!(input.arbitrary::<String>()?).to_string(),
        1 => serde_json::json!(input.arbitrary::<f64>()?).to_string(),
        2 => serde_json::json!(input.arbitrary::<Option<i64>>()?).to_string(),
        3 => format!("[{},{}]", json(input, depth - 1)?, json(input, depth - 1)?),
        _ => {
            let key = serde_json::json!(input.arbitrary::<String>()?);
            format!("{{{key}: {}}}", json(input, depth - 1)?)
        }
    })
}

fn options(input: &mut Unstructured<'_>) -> arbitrary::Result<SendOptions> {
    let mut options = SendOptions::default();
    options.size_threshold = input.arbitrary::<Option<u8>>()?.map(usize::from);
    options.correlation_id = input.arbitrary()?;
    options.msg_id = input.arbitrary()?;
    options.sender_id = input.arbitrary()?;
    options.broker_url = input.arbitrary()?;
    for text in [
        &mut options.msg_purpose,
        &mut options.sender_name,
        &mut options.receiver_name,
        &mut options.receiver_id,
        &mut options.reply_to_msg_id,
    ] {
        *text = input.arbitrary()?;
    }
    if input.ratio(1, 4)? {
        options.reply_to = input.arbitrary()?;
    }
    if input.ratio(1, 4)? {
        options.metadata = Json::from_text(json(input, 2)?).ok();
    }
    options.allow_empty = input.arbitrary()?;
    options.is_publish = input.ratio(7, 8)?;
    options.confirm = input.arbitrary()?;
    Ok(options)
}
