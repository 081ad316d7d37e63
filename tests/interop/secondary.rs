//! A primary with a secondary that lags: what propagation is tested with.

use dv_verify::record::RecordType;

use super::{
    rfc2136::{opened, record},
    servers::{OPEN_ZONE, OUR_KEY, bind::bind, dig, installed, knot::Knot},
};

#[tokio::test]
async fn a_secondary_has_a_change_only_after_its_transfer() {
    let Some(primary) = bind() else { return };
    if !installed(&["knotd", "knotc"]) {
        return;
    }
    let secondary = Knot::start_secondary(primary.address, &[OPEN_ZONE]).unwrap();
    let name = "_dv.lag.example.test";
    let provider = opened(primary.address, Some(OUR_KEY), "");
    let ours = record(name, RecordType::Txt, "ours");
    let zone = provider.locate(&ours.name).await.unwrap();
    provider.publish(&zone, &ours).await.unwrap();
    assert_eq!(dig(primary.address, name, "TXT"), ["\"ours\""]);
    assert_eq!(dig(secondary.address, name, "TXT"), Vec::<String>::new());
    secondary.transfer(OPEN_ZONE);
    assert_eq!(dig(secondary.address, name, "TXT"), ["\"ours\""]);
}
