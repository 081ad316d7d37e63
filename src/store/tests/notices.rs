use super::*;

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn what_was_told_is_known_to_whoever_asks_next() {
    for home in homes() {
        let (one, other) = (home.open().await, home.open().await);
        let id = OrderId::parse("a").unwrap();
        let ask = async |store: &Store, order: Option<&OrderId>, kind: &str, telling: Telling| {
            let mut seen = Told::default();
            let decide = |told: &Told| {
                seen = told.clone();
                telling
            };
            assert_eq!(store.decide_telling("o", order, kind, HOUR, decide).await.unwrap(), telling);
            (seen.last.map(|(kind, ago)| (kind, ago < HOUR)), seen.recent)
        };
        let told = |kind: &str| Some((kind.to_owned(), true));
        assert_eq!(ask(&one, Some(&id), "provider", Telling::Keep).await, (None, 0));
        assert_eq!(ask(&one, Some(&id), "provider", Telling::Tell).await, (None, 0), "what was kept was not told");
        assert_eq!(ask(&other, Some(&id), "refused", Telling::Tell).await, (told("provider"), 1));
        assert_eq!(ask(&one, Some(&id), "refused", Telling::Keep).await, (told("refused"), 1));
        assert_eq!(ask(&one, None, "store", Telling::TellOfMore).await, (None, 1));
        assert_eq!(ask(&other, None, "store", Telling::Tell).await, (None, 2), "that there are more is about nobody");
        other.forget_telling("o", Some(&id)).await.unwrap();
        assert_eq!(ask(&one, Some(&id), "refused", Telling::Keep).await, (None, 2));
        assert_eq!(
            one.decide_telling("p", None, "store", HOUR, |told| {
                assert_eq!(*told, Told::default(), "another account");
                Telling::Keep
            })
            .await
            .unwrap(),
            Telling::Keep
        );
    }
}
