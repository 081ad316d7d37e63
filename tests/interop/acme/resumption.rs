//! What a run that died left is taken up by the next: the same order, the same key, one certificate.

use std::{pin::Pin, process::Command};

use dv_verify::failpoint::ACME_POINTS;
use http_body_util::BodyExt;
use instant_acme::{Account, BodyWrapper, BytesResponse, HttpClient};

use super::{Scene, proxy::Proxy, run};

/// The ACME library over reqwest, for what a person might do meanwhile.
struct Client(reqwest::Client);

impl HttpClient for Client {
    fn request(
        &self,
        request: http::Request<BodyWrapper<bytes::Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, instant_acme::Error>> + Send>> {
        let client = self.0.clone();
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            let ours = client.request(parts.method, parts.uri.to_string()).headers(parts.headers).body(body);
            let reply = ours.send().await.map_err(|error| instant_acme::Error::Other(Box::new(error)))?;
            let mut response = http::Response::builder().status(reply.status());
            *response.headers_mut().unwrap() = reply.headers().clone();
            let (parts, ()) = response.body(()).unwrap().into_parts();
            Ok(BytesResponse { parts, body: Box::new(reply.bytes().await.unwrap()) })
        })
    }
}

async fn account(scene: &Scene) -> Account {
    let state = scene.state();
    let path = state.iter().find(|path| path.ends_with("account.json")).unwrap();
    let text = std::fs::read_to_string(scene.home().join("state/acme").join(path)).unwrap();
    let file: serde_json::Value = serde_json::from_str(&text).unwrap();
    let credentials = serde_json::from_value(file["credentials"].clone()).unwrap();
    let ca = std::fs::read(scene.pebble.ca_file()).unwrap();
    let certificates = reqwest::Certificate::from_pem_bundle(&ca).unwrap();
    let client = reqwest::Client::builder().tls_certs_only(certificates).build().unwrap();
    Account::builder_with_http(Box::new(Client(client))).from_credentials(credentials).await.unwrap()
}

/// Makes a file when it is dropped.
struct Go(std::path::PathBuf);

impl Drop for Go {
    fn drop(&mut self) {
        let _ = std::fs::write(&self.0, "");
    }
}

/// Runs until the failpoint, lets `meanwhile` happen, and returns how the run ended.
async fn paused(scene: &Scene, point: &str, mut command: Command, meanwhile: impl AsyncFnOnce()) -> crate::outside::Ran {
    let folder = scene.home().join(format!("pause-{}", rand::random::<u32>()));
    std::fs::create_dir_all(&folder).unwrap();
    command.env("DV_FAILPOINT", point).env("DV_FAILPOINT_DOES", format!("pause:{}", folder.display()));
    let child = tokio::task::spawn_blocking(move || run(&mut command));
    for _ in 0..3000 {
        if folder.join("reached").exists() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    // However it ends, the run goes on.
    let go = Go(folder.join("go"));
    meanwhile().await;
    drop(go);
    child.await.unwrap()
}

#[test]
fn killed_at_any_point_the_next_run_finishes_the_same_order() {
    let Some(scene) = Scene::new() else { return };
    let points = ACME_POINTS.iter().chain(&["publish.after-write", "visible.after", "deliver.before", "deliver.after-memory"]);
    for (number, point) in points.enumerate() {
        let name = format!("kill{number}.example.test");
        let orders = || scene.pebble.log().matches("Added order").count();
        let before = orders();
        let mut command = scene.command(&["apply", &name]);
        let ran = run(command.env("DV_FAILPOINT", point));
        assert_eq!(ran.code, -1, "{point}: killed: {ran:?}");
        scene.run(&["apply", &name]).expect(0);
        assert!(scene.live(&name).join("privkey.pem").is_file(), "{point}");
        scene.assert_clean(&name);
        // The order that was made right before the kill is not known to anybody; every other one is gone on with.
        let expected = if *point == "acme.after-order" { 2 } else { 1 };
        assert_eq!(orders() - before, expected, "{point}");
        assert!(!scene.state().iter().any(|path| path.contains("orders/")), "{point}: {:?}", scene.state());
    }
}

#[test]
fn no_wait_leaves_and_the_next_run_fetches_the_certificate() {
    let Some(scene) = Scene::new() else { return };
    scene.run(&["apply", "later.example.test", "--no-wait"]).expect(0);
    assert!(!scene.live("later.example.test").exists());
    let state = scene.state();
    let id = state.iter().find_map(|path| path.strip_suffix("/order.json")?.rsplit('/').next()).unwrap();
    let ran = scene.run(&["explain", id]);
    assert!(ran.code == 0 && ran.stdout.contains(&format!("order {id} ")), "{ran:?}");
    let unknown = id.replace("later.example.test", "earlier.example.test");
    scene.run(&["explain", &unknown]).expect(2).says("is not under way");
    scene.run(&["apply", "later.example.test"]).expect(0);
    assert!(scene.live("later.example.test").join("cert.pem").is_file());
    scene.assert_clean("later.example.test");
    assert_eq!(scene.pebble.log().matches("Added order").count(), 1);
}

/// Pebble 2.4 does not live through this: its handler takes the lock of an authorization for the change, and once more for the reply, so that nothing
/// about that authorization or its order is answered ever after. Its answers are therefore those of a script, as the standard has them, and with the
/// state of the order that Pebble invents.
#[tokio::test]
async fn an_authorization_that_was_revoked_meanwhile_is_named() {
    let Some(scene) = Scene::new() else { return };
    let cases = [
        ("invalid", "revoked", "was revoked"),
        ("invalid", "deactivated", "was deactivated"),
        ("deactivated", "deactivated", "was deactivated"),
    ];
    for (number, (order, authorization, said)) in cases.into_iter().enumerate() {
        let name = format!("revoked{number}.example.test");
        let (proxy, directory) = Proxy::start_in(&scene);
        let mut command = scene.command(&["apply", &name]);
        command.env("DV_CA", &directory);
        let ran = paused(&scene, "visible.before", command, async || proxy.revoke(&name, order, authorization)).await;
        let ran = ran.expect(6).says(&format!("the authorization of `{name}` {said}"));
        assert!(ran.stderr.contains("every name server shows it"), "{}", ran.stderr);
        scene.assert_clean(&name);
        proxy.mend();
        let mut command = scene.command(&["apply", &name]);
        tokio::task::spawn_blocking(move || run(command.env("DV_CA", &directory)).expect(0)).await.unwrap();
    }
}

#[tokio::test]
async fn a_deactivated_account_is_named() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let Some(scene) = Scene::new() else { return };
    scene.run(&["apply", "first.example.test"]).expect(0);
    account(&scene).await.deactivate().await.unwrap();
    scene.run(&["apply", "second.example.test"]).expect(3).says("a new one is registered");
    scene.assert_clean("second.example.test");
}
