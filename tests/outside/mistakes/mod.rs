//! What goes wrong at CAS, each in both languages: a message that says why and what to do, the right exit code, and nothing lost or ordered twice:
//! once the cause is gone, the run that follows comes to the certificate.

use std::time::Duration;

use dv_verify::{
    order::{Generation, OrderId},
    sandbox::{Answer, Fault, OrderChange, Service},
};

use super::context::{APPLICANT, Context, Ran};

mod applications;
mod orders;
mod service;
mod tokens;

const OTHER_KEY: &str = "LTAI5tTheOtherAccount";
const NOT_YET: Duration = Duration::from_secs(3600);
const PRODUCT: [&str; 2] = ["--product", "symantec-dv-1-starter"];
const LANGUAGES: [&str; 2] = ["en", "zh"];

/// How a mistake comes about, and what is left of it.
struct Mistake {
    /// What it is, for the reader of a failure.
    what: &'static str,
    /// Brings it about; returns the arguments of the run.
    begin: fn(&Context) -> Vec<String>,
    /// The exit code.
    code: i32,
    /// Words of the message in English; `{order}` stands for the order that was named, or made.
    english: &'static [&'static str],
    /// Words of the message in Chinese.
    chinese: &'static [&'static str],
    /// What holds afterwards.
    end: fn(&Context, &[String]),
}

/// A sandbox whose challenges are there at once, with a second account.
fn context() -> Context {
    Context::with(|options| {
        options.challenge_delay = Duration::ZERO;
        options.other_accounts = [(OTHER_KEY.to_owned(), "planted-other-secret-2f".to_owned())].into();
    })
}

fn owned(arguments: &[&str]) -> Vec<String> {
    arguments.iter().map(|argument| (*argument).to_owned()).collect()
}

fn run(context: &Context, arguments: &[String]) -> Ran {
    context.run(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
}

/// `--provider cloudflare --order ID` and more.
fn verify(id: &OrderId, more: &[&str]) -> Vec<String> {
    owned(&[&["--provider", "cloudflare", "--order", id.as_str()], more].concat())
}

fn apply(more: &[&str]) -> Vec<String> {
    owned(&[&["apply", "--provider", "cloudflare"], more].concat())
}

fn apply_package(name: &str) -> Vec<String> {
    apply(&[&[name], PRODUCT.as_slice(), &APPLICANT].concat())
}

/// The next calls of an action, or of all, are answered so.
fn answer(context: &Context, action: Option<&str>, answer: Answer) {
    let fault = Fault::Calls { service: Service::Cas, action: action.map(Into::into), times: None, answer };
    context.sandbox.fault(fault).unwrap();
}

fn error(status: u16, code: &str, message: &str) -> Answer {
    Answer::Error { status, code: code.into(), message: message.into() }
}

/// The run wrote nothing, and sent no application.
fn nothing_was_done(context: &Context, _: &[String]) {
    assert_eq!(context.writes(), 0, "nothing was written");
    for action in ["ApplyCertificate", "CreateCertificateForPackageRequest", "CreateDVOrderAudit"] {
        assert_eq!(context.calls(action), 0, "{action}");
    }
}

/// With the cause gone the same command comes to the certificate, by one application, and leaves nothing.
fn the_same_command_again(context: &Context, arguments: &[String]) {
    context.sandbox.clear_faults();
    run(context, &owned_without_timeout(arguments)).expect(0);
    is_there(context);
    let submitted = context.calls("ApplyCertificate") + context.calls("CreateCertificateForPackageRequest");
    assert!(submitted <= 1, "{submitted} applications");
}

/// An order whose record is out, and that the CA does not look at.
fn waiting(context: &Context, generation: Generation) -> OrderId {
    let id = context.order(generation, &["www.example.com"]);
    context.change(&id, OrderChange::Hold);
    run(context, &verify(&id, &["--no-wait"])).expect(0);
    assert_eq!(context.records().len(), 1);
    id
}

/// The record stays, and the next run comes to the certificate.
fn it_goes_on(context: &Context, arguments: &[String]) {
    assert_eq!(context.records().len(), 1, "the record stays");
    context.change(&OrderId::parse(&named(context, arguments)).unwrap(), OrderChange::Recover);
    the_same_command_again(context, arguments);
}

/// A run that was to end soon has all its time when it is to succeed.
fn owned_without_timeout(arguments: &[String]) -> Vec<String> {
    let place = arguments.iter().position(|argument| argument == "--timeout");
    let keep = |index: usize| place.is_none_or(|place| index != place && index != place + 1);
    arguments.iter().enumerate().filter(|(index, _)| keep(*index)).map(|(_, argument)| argument.clone()).collect()
}

fn is_there(context: &Context) {
    assert!(context.out().join("www.example.com/live/cert.pem").is_file());
    assert_eq!(context.records(), Vec::<String>::new());
}

/// Runs each mistake in both languages, each time from its beginning.
fn tell(mistakes: &[Mistake]) {
    tell_in(context, mistakes);
}

fn tell_in(new: fn() -> Context, mistakes: &[Mistake]) {
    for mistake in mistakes {
        for (language, words) in LANGUAGES.into_iter().zip([mistake.english, mistake.chinese]) {
            let context = new();
            let arguments = (mistake.begin)(&context);
            let mut told = arguments.clone();
            told.extend(owned(&["--lang", language]));
            let ran = run(&context, &told);
            assert_eq!(ran.code, mistake.code, "{}, {language}: {}\n{}", mistake.what, ran.stdout, ran.stderr);
            let order = named(&context, &arguments);
            for word in words {
                let word = word.replace("{order}", &order);
                assert!(ran.stderr.contains(&word), "{}, {language}: `{word}` is not in\n{}", mistake.what, ran.stderr);
            }
            (mistake.end)(&context, &arguments);
        }
    }
}

/// The order that the arguments name, else the sandbox's first.
fn named(context: &Context, arguments: &[String]) -> String {
    let place = arguments.iter().position(|argument| argument == "--order");
    let named = place.and_then(|place| arguments.get(place + 1).cloned());
    named.or_else(|| context.sandbox.state().orders.first().map(|order| order.id.clone())).unwrap_or_default()
}
