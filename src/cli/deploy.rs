//! `deploy`: the vendor's own deployment, from a certificate of the account to resources of the account.

use std::time::Duration;

use clap::Args;

use super::{exit::Exit, session::Session, table, upload};
use crate::{
    delivery,
    error::{Error, ErrorKind, Result},
    http::Http,
    journey::{self, Deployed, Deployment},
    language::{message, t},
    name::{Name, in_words},
    order::{
        OrderId,
        aliyun::{
            Cas,
            deploying::{CloudResource, Stage, Worker},
        },
    },
};

/// How long the end of a job is waited for.
const PATIENCE: Duration = Duration::from_mins(30);

/// What to deploy, and where to.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The certificate: a name of one that was delivered here, or the order that it came from.
    #[arg(id = "deployed", value_name = "NAME|ORDER", required_unless_present_any = ["certificate_id", "resources"], conflicts_with = "certificate_id")]
    what: Option<String>,
    /// The certificate by its CertId in the account.
    #[arg(long, value_name = "ID")]
    certificate_id: Option<u64>,
    /// Where to: the id of a resource, its domain, or its instance; repeatable.
    #[arg(long = "to", value_name = "RESOURCE", value_delimiter = ',', required_unless_present = "resources")]
    to: Vec<String>,
    /// List the resources that can hold a certificate, and deploy nothing.
    #[arg(long, conflicts_with = "to")]
    resources: bool,
    /// Where the certificate is not in the account (one of an ACME CA), upload it and its key first.
    #[arg(long)]
    upload: bool,
    /// Deploy once more what was deployed already.
    #[arg(id = "deployed-again", long = "force")]
    again: bool,
    /// Do not wait for the end of the job.
    #[arg(id = "deployed-in-background", long = "no-wait")]
    no_wait: bool,
}

/// Deploys a certificate, or lists where to.
pub(super) async fn run(session: &Session, arguments: &Arguments) -> Result<Exit> {
    let cas = session.cas(&Http::new()?)?;
    let resources = cas.resources().await?;
    if arguments.resources {
        show_resources(session, &resources);
        return Ok(Exit::DONE);
    }
    let to = chosen(&resources, &arguments.to)?;
    let certificate = certificate(session, &cas, arguments).await?;
    let stored = cas.stored(certificate).await?;
    if stored.is_expired {
        return Err(Error::usage(t!("certificate %{certificate} has expired; it is not deployed", certificate))
            .with_hint(t!("`dv-verify renew` gets another one")));
    }
    fits(certificate, &stored.names, &to)?;
    let contacts = cas.contacts(&session.chosen().contact_ids).await?;
    let deployment = Deployment { certificate, to, contacts, again: arguments.again };
    let patience = (!arguments.no_wait).then_some(PATIENCE);
    let store = session.open_store().await?;
    let deployed = journey::deploy(&store, &cas, &deployment, patience).await;
    store.close().await;
    tell(session, &cas, &deployment, &deployed?).await
}

/// The resources that the user means.
fn chosen(resources: &[CloudResource], wanted: &[String]) -> Result<Vec<CloudResource>> {
    let mut all: Vec<CloudResource> = Vec::new();
    for word in wanted.iter().map(|word| word.trim()) {
        let id: Option<u64> = word.parse().ok();
        let is_meant = |resource: &&CloudResource| {
            let is = |text: &Option<String>| text.as_deref().is_some_and(|text| text.eq_ignore_ascii_case(word));
            id == Some(resource.id) || is(&resource.domain) || is(&resource.instance)
        };
        let found: Vec<&CloudResource> = resources.iter().filter(is_meant).collect();
        if found.is_empty() {
            return Err(Error::usage(t!("the account has no resource `%{word}` that can hold a certificate", word))
                .with_hint(t!("`dv-verify deploy --resources` lists them, as the service last looked for them")));
        }
        for resource in found {
            if !all.contains(resource) {
                all.push(resource.clone());
            }
        }
    }
    let others = all.iter().filter(|resource| !resource.is_own_cloud()).count();
    if others > 0 && others < all.len() {
        return Err(Error::usage(t!("one job cannot hold resources of Alibaba Cloud and of other clouds"))
            .with_hint(t!("call `dv-verify deploy` once for each")));
    }
    Ok(all)
}

/// The CertId of what the user means.
async fn certificate(session: &Session, cas: &Cas, arguments: &Arguments) -> Result<u64> {
    if let Some(id) = arguments.certificate_id {
        return Ok(id);
    }
    let what = arguments.what.as_deref().unwrap_or_default();
    // An order's id has no dot, and a domain has one.
    if !what.contains('.') {
        return cas.certificate_of(&OrderId::parse(what)?).await;
    }
    let name = Name::parse(what)?;
    let bundle = upload::of_folder(session, &name)?;
    if let Some(id) = cas.stored_as(&bundle.certificate, &name).await? {
        return Ok(id);
    }
    if !arguments.upload {
        return Err(Error::usage(t!("the account does not have the certificate of `%{name}` that is on this machine", name))
            .with_hint(t!("`--upload` puts it there, with its key, and deploys it; `--region` chooses the other site")));
    }
    let (id, _) = upload::upload(cas, &upload::verified(&bundle)?, None).await?;
    session.printer().note(&t!("%{name}: uploaded, certificate %{id}", name, id));
    Ok(id)
}

/// Whether the certificate serves the domain of every resource. What tells no domain, or no name, is left to the service.
fn fits(certificate: u64, names: &[Name], to: &[CloudResource]) -> Result<()> {
    if names.is_empty() {
        return Ok(());
    }
    for resource in to {
        let domain = resource.domain.as_deref().and_then(|domain| Name::parse(domain).ok());
        if let Some(domain) = domain.filter(|domain| !delivery::serves(names, domain)) {
            let names = in_words(names);
            return Err(Error::usage(t!(
                "certificate %{certificate} does not serve `%{domain}` (resource %{id}): it names %{names}",
                certificate,
                domain,
                id = resource.id,
                names
            ))
            .with_hint(t!("nothing was deployed; name another certificate, or another resource with `--to`")));
        }
    }
    Ok(())
}

/// Says how it ended, resource by resource.
async fn tell(session: &Session, cas: &Cas, deployment: &Deployment, deployed: &Deployed) -> Result<Exit> {
    let printer = session.printer();
    let (certificate, job) = (deployment.certificate, deployed.job);
    if deployed.was_there && deployed.stage == Stage::Done {
        printer.note(&t!("job %{job} did this already; `--force` does it once more", job));
    }
    let has_failed = deployed.stage == Stage::Failed || deployed.workers.iter().any(|worker| worker.stage == Stage::Failed);
    // What is there now may say why it failed; the job itself does not.
    let now = if has_failed { cas.resources().await.unwrap_or_default() } else { Vec::new() };
    if printer.is_json() {
        for worker in &deployed.workers {
            printer.json(&serde_json::json!({
                "job": job, "certificate": certificate, "resource": worker.resource, "product": worker.product,
                "called": worker.called, "status": worker.stage.word(), "why": why(worker, &now),
            }));
        }
        if deployed.workers.is_empty() {
            printer.json(&serde_json::json!({"job": job, "certificate": certificate, "status": deployed.stage.word()}));
        }
    } else {
        let mut shown =
            table::new(&[message!("RESOURCE"), message!("PRODUCT"), message!("NAME"), message!("STATUS"), message!("REMARK")]);
        for worker in &deployed.workers {
            let resource = worker.resource.map(|id| id.to_string()).unwrap_or_default();
            let status = worker.stage.word().to_owned();
            shown.add_row([
                resource,
                worker.product.clone(),
                worker.called.clone(),
                status,
                why(worker, &now).unwrap_or_default(),
            ]);
        }
        if !deployed.workers.is_empty() {
            table::show(printer, &shown);
        }
    }
    if has_failed {
        return Err(Error::new(ErrorKind::Refused, t!("certificate %{certificate} was not deployed everywhere (job %{job})", certificate, job))
            .with_hint(t!("the certificate console (Deployment) shows more of the job; mend that, then run the same command again: it makes a new job")));
    }
    match &deployed.stage {
        Stage::Done => {
            printer.note(&t!(
                "certificate %{certificate} is deployed to %{to} resources (job %{job})",
                certificate,
                to = deployment.to.len(),
                job
            ));
            Ok(Exit::DONE)
        }
        stage => {
            printer.note(&t!("job %{job} is `%{stage}`; the same command again waits for its end", job, stage = stage.word()));
            Ok(Exit::failure(ErrorKind::StillWaiting))
        }
    }
}

/// What is known about a resource where the deployment failed.
fn why(worker: &Worker, now: &[CloudResource]) -> Option<String> {
    if worker.stage != Stage::Failed {
        return worker.message.clone();
    }
    let resource = worker.resource.and_then(|id| now.iter().find(|resource| resource.id == id));
    let has = resource.map(|resource| match (resource.certificate, resource.has_https) {
        (_, Some(false)) => t!("HTTPS is off there").to_owned(),
        (Some(id), _) => t!("it has certificate %{id}", id),
        (None, _) => t!("it has no certificate").to_owned(),
    });
    let said = worker.message.clone().unwrap_or_else(|| t!("the service does not say why").to_owned());
    Some([Some(said), has].into_iter().flatten().collect::<Vec<_>>().join("; "))
}

fn show_resources(session: &Session, resources: &[CloudResource]) {
    let printer = session.printer();
    if resources.is_empty() {
        printer.note(t!("the service knows no resource that can hold a certificate"));
        return;
    }
    let mut shown = table::new(&[
        message!("RESOURCE"),
        message!("CLOUD"),
        message!("PRODUCT"),
        message!("REGION"),
        message!("DOMAIN"),
        message!("INSTANCE"),
        message!("CERTIFICATE"),
    ]);
    for resource in resources {
        if printer.is_json() {
            printer.json(&serde_json::json!({
                "resource": resource.id, "cloud": resource.cloud, "product": resource.product, "region": resource.region,
                "domain": resource.domain, "instance": resource.instance, "certificate": resource.certificate,
            }));
            continue;
        }
        shown.add_row([
            resource.id.to_string(),
            resource.cloud.clone(),
            resource.product.clone(),
            resource.region.clone().unwrap_or_default(),
            resource.domain.clone().unwrap_or_default(),
            resource.instance.clone().unwrap_or_default(),
            resource.certificate.map(|id| id.to_string()).unwrap_or_default(),
        ]);
    }
    if !printer.is_json() {
        table::show(printer, &shown);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resource(id: u64, cloud: &str, domain: &str) -> CloudResource {
        CloudResource { id, cloud: cloud.to_owned(), domain: Some(domain.to_owned()), ..CloudResource::default() }
    }

    #[test]
    fn resources_are_chosen_by_id_and_by_domain_and_never_twice() {
        let all = [
            resource(1, "aliyun", "a.example.com"),
            resource(2, "aliyun", "b.example.com"),
            resource(3, "Tencent", "a.example.com"),
        ];
        let ids = |words: &[&str]| {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            chosen(&all, &words).map(|chosen| chosen.iter().map(|resource| resource.id).collect::<Vec<_>>())
        };
        assert_eq!(ids(&["2", "B.example.com"]).unwrap(), [2]);
        assert!(ids(&["a.example.com"]).unwrap_err().to_string().contains("other clouds"));
        assert!(ids(&["9"]).unwrap_err().to_string().contains("no resource `9`"));
    }

    #[test]
    fn a_certificate_that_does_not_serve_the_domain_is_refused() {
        let names = [Name::parse("*.example.com").unwrap()];
        fits(7, &names, &[resource(1, "aliyun", "cdn.example.com"), resource(2, "aliyun", ".example.net")]).unwrap();
        assert!(fits(7, &names, &[resource(1, "aliyun", "a.b.example.com")]).unwrap_err().to_string().contains("does not serve"));
    }
}
