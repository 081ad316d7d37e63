//! Several regions in one command, each at its own host: the vendor's names, over TLS, each led to a sandbox of its own.

use std::{collections::HashMap, fs, net::SocketAddr, process::Command, sync::Arc};

use dv_verify::{
    order::{Generation, OrderId},
    sandbox::{Answer, Fault, Service},
};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, copy_bidirectional},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;

use super::context::{Context, Ran, assert_no_secret, runtime};

const CHINA: &str = "cas.aliyuncs.com";
const SINGAPORE: &str = "cas.ap-southeast-1.aliyuncs.com";

/// An HTTP proxy that ends the TLS of both hosts itself, and leads each to the sandbox that stands for it; its address. The CA of its certificate
/// is written to `ca.pem` in the home folder of the first.
fn proxy(china: &Context, singapore: &Context) -> SocketAddr {
    let ca_key = KeyPair::generate().unwrap();
    let mut ca = CertificateParams::default();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    fs::write(china.home().join("ca.pem"), ca.self_signed(&ca_key).unwrap().pem()).unwrap();
    let key = KeyPair::generate().unwrap();
    let names = vec![CHINA.to_owned(), SINGAPORE.to_owned()];
    let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &Issuer::new(ca, ca_key)).unwrap();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = rustls::ServerConfig::builder().with_no_client_auth().with_single_cert(vec![certificate.der().clone()], key);
    let acceptor = TlsAcceptor::from(Arc::new(config.unwrap()));
    let place = |context: &Context| context.sandbox.addresses().cas.socket_addrs(|| None).unwrap()[0];
    let places = Arc::new(HashMap::from([(CHINA, place(china)), (SINGAPORE, place(singapore))]));
    let listener = runtime().block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    runtime().spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(lead(stream, acceptor.clone(), Arc::clone(&places)));
        }
    });
    address
}

/// One connection: `CONNECT host:443`, then TLS. What cannot be led anywhere is closed, so that nothing leaves loopback.
async fn lead(stream: TcpStream, acceptor: TlsAcceptor, places: Arc<HashMap<&str, SocketAddr>>) -> Option<()> {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    stream.read_line(&mut line).await.ok()?;
    let place = *places.get(line.strip_prefix("CONNECT ")?.split(':').next()?)?;
    while line.trim() != "" {
        line.clear();
        stream.read_line(&mut line).await.ok()?;
    }
    stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.ok()?;
    let mut plain = acceptor.accept(stream).await.ok()?;
    let mut sandbox = TcpStream::connect(place).await.ok()?;
    copy_bidirectional(&mut plain, &mut sandbox).await.ok()?;
    Some(())
}

/// The program as it is without `--endpoint`, behind the proxy.
fn behind(proxy: SocketAddr, context: &Context, arguments: &[&str]) -> Command {
    let mut command = context.command(arguments);
    command.env_remove("DV_ENDPOINT");
    command.env("HTTPS_PROXY", format!("http://{proxy}")).env("SSL_CERT_FILE", context.home().join("ca.pem"));
    command
}

fn run(proxy: SocketAddr, context: &Context, arguments: &[&str]) -> Ran {
    let ran = Ran::of(behind(proxy, context, arguments).output().unwrap());
    assert_no_secret(&ran);
    ran
}

#[test]
fn orders_of_two_regions_and_a_journey_in_each() {
    let (china, singapore) = (Context::new(), Context::new());
    let proxy = proxy(&china, &singapore);
    let here = china.order(Generation::Api2018, &["www.example.com"]);
    let there = singapore.order(Generation::Instance, &["shop.example.com"]);

    let ran = run(proxy, &china, &["orders", "--regions", "cn-hangzhou,ap-southeast-1", "--output", "json"]).expect(0);
    let rows: Vec<serde_json::Value> = ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let found = |region: &str, id: &OrderId| rows.iter().any(|row| row["region"] == region && row["order"] == id.as_str());
    assert!(rows.len() == 2 && found("cn-hangzhou", &here) && found("ap-southeast-1", &there), "{rows:?}");
    let table = run(proxy, &china, &["orders", "--regions", "cn-hangzhou,ap-southeast-1"]).expect(0).stdout;
    assert!(["cn-hangzhou", "ap-southeast-1", here.as_str(), there.as_str()].iter().all(|cell| table.contains(cell)), "{table}");

    // An order is where its region is, and nowhere else.
    let verify = |context: &Context, region: &str, id: &OrderId| {
        run(proxy, context, &["--provider", "cloudflare", "--region", region, "--order", id.as_str()])
    };
    verify(&china, "ap-southeast-1", &here).expect(2).says("orders of the China site need `--region cn-hangzhou`");
    verify(&china, "cn-hangzhou", &here).expect(0);
    fs::copy(china.home().join("ca.pem"), singapore.home().join("ca.pem")).unwrap();
    verify(&singapore, "ap-southeast-1", &there).expect(0);
    assert!(china.out().join("www.example.com/live/cert.pem").is_file());
    assert!(singapore.out().join("shop.example.com/live/cert.pem").is_file());
    // A region that cannot be asked is named, and keeps nobody from seeing the others.
    let answer = Answer::Error { status: 404, code: "InvalidAccessKeyId.NotFound".into(), message: "Unknown key.".into() };
    singapore.sandbox.fault(Fault::Calls { service: Service::Cas, action: None, times: None, answer }).unwrap();
    let ran = run(proxy, &china, &["orders", "--regions", "ap-southeast-1,cn-hangzhou"]).expect(9);
    assert!(ran.stdout.contains(here.as_str()) && ran.stderr.contains("region `ap-southeast-1`"), "{ran:?}");
    run(proxy, &china, &["orders", "--regions", "ap-southeast-1"]).expect(3).says("region `ap-southeast-1`");
}
