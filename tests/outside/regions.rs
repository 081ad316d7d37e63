//! Several regions in one command, each at its own host: the vendor's names, over TLS, each led to a sandbox of its own.

use std::{collections::HashMap, net::SocketAddr, sync::Arc};

use dv_verify::{
    order::{Generation, OrderId},
    sandbox::{Answer, Fault, Service},
};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, copy_bidirectional},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;

use super::context::{Context, Ran, assert_no_secret, runtime};
use crate::tls::{acceptor, certify};

const CHINA: &str = "cas.aliyuncs.com";
const SINGAPORE: &str = "cas.ap-southeast-1.aliyuncs.com";

/// An HTTP proxy that ends the TLS of both hosts itself, and leads each to the sandbox that stands for it.
struct Proxy {
    address: SocketAddr,
    /// Where its certificate is, and the CA of that.
    folder: tempfile::TempDir,
}

fn proxy(china: &Context, singapore: &Context) -> Proxy {
    let folder = tempfile::tempdir().unwrap();
    certify(folder.path(), &[CHINA, SINGAPORE], |_| ());
    let acceptor = acceptor(folder.path());
    let place = |context: &Context| context.sandbox.addresses().cas.socket_addrs(|| None).unwrap()[0];
    let places = Arc::new(HashMap::from([(CHINA, place(china)), (SINGAPORE, place(singapore))]));
    let listener = runtime().block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    runtime().spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(lead(stream, acceptor.clone(), Arc::clone(&places)));
        }
    });
    Proxy { address, folder }
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
fn run(proxy: &Proxy, context: &Context, arguments: &[&str]) -> Ran {
    let mut command = context.command(arguments);
    command.env_remove("DV_ENDPOINT");
    command.env("HTTPS_PROXY", format!("http://{}", proxy.address)).env("SSL_CERT_FILE", proxy.folder.path().join("ca.pem"));
    let ran = Ran::of(command.output().unwrap());
    assert_no_secret(&ran);
    ran
}

#[test]
fn orders_of_two_regions_and_a_journey_in_each() {
    let (china, singapore) = (Context::new(), Context::new());
    let proxy = &proxy(&china, &singapore);
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
