//! Questions and answers.

use alloc::format;

use natsbridge::{ErrorKind, ReceiveOptions, SendOptions};

use super::PATIENCE;
use super::exchange::one_of_each;
use crate::bench::{Bench, Failure, Unmet, check, event};

pub fn request(bench: &mut Bench<'_>) -> Result<u32, Failure> {
    let subject = format!("{}.echo", bench.subject);
    let rounds = bench.words.number("rounds", 10);
    let question = one_of_each(200)?;
    let options = SendOptions::default();
    for _ in 0..rounds {
        let answer = bench
            .bridge
            .request(&subject, &question, &options, PATIENCE)?;
        let pairs = answer.payloads.iter().zip(&question);
        let same =
            |((name, payload), (kind, sent)): (&(_, _), &(_, _))| name == kind && payload == sent;
        let are_same = answer.payloads.len() == question.len() && pairs.clone().all(same);
        check(are_same, "other payloads came back")?;
    }
    nobody(bench)?;
    Ok(rounds)
}

/// A request to nobody fails at once, and not after its time.
fn nobody(bench: &mut Bench<'_>) -> Result<(), Failure> {
    let subject = format!("{}.nobody", bench.subject);
    let question = one_of_each(2)?;
    let options = SendOptions::default();
    match bench
        .bridge
        .request(&subject, &question, &options, PATIENCE)
    {
        Err(error) if error.kind() == ErrorKind::NoResponders => Ok(()),
        Err(error) => Err(error.into()),
        Ok(_) => Err(Unmet("nobody answered").into()),
    }
}

pub fn answer(bench: &mut Bench<'_>) -> Result<u32, Failure> {
    let subject = format!("{}.answer", bench.subject);
    let rounds = bench.words.number("rounds", 10);
    let bridge = &mut bench.bridge;
    let id = bridge.subscribe(&subject, None)?;
    event("answering");
    for _ in 0..rounds {
        let mut message = bridge
            .next_message(PATIENCE)?
            .ok_or(Unmet("no question came"))?;
        let question = bridge.receive_in_place(&mut message, &ReceiveOptions::default())?;
        bridge.reply(&question, &question.list(), &SendOptions::default())?;
    }
    bridge.unsubscribe(id)?;
    Ok(rounds)
}
