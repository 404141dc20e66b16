//! A policy decides on both hops, and says why.
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use sealpost_examples::Outcome;
use sealpost_policy::{DeliverFacts, Policy, ReceiveFacts};
use sealpost_types::{Mailbox, ReversePath};

fn main() -> Outcome {
    let policy = Policy::parse(
        "policy.toml",
        "[[partner]]\nname = \"Bank\"\ndomains = \"bank.example\"\nreceive = \"require\"\ndeliver = \"verify\"\n",
    )?;
    let (ann, bob) = (Mailbox::parse("ann@shop.example")?, Mailbox::parse("bob@bank.example")?);

    let (deliver, trace) = policy.explain_deliver(&DeliverFacts::new(&ann.into(), &bob.clone().into(), true));
    assert!(deliver.demand.is_mandatory());
    println!("to bank.example: {}", trace.short());

    let in_clear = policy.decide_receive(&ReceiveFacts::new("192.0.2.7".parse()?, &ReversePath::from(bob)));
    let refusal = in_clear.refusal().ok_or("mail from the bank was accepted in clear")?;
    assert_eq!(refusal.code.value(), 530);
    println!("from bank.example, in clear: {refusal}");
    Ok(())
}
