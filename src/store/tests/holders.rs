use proptest::prelude::*;

use super::*;

#[tokio::test]
async fn the_same_value_is_one_entry_with_two_holders() {
    for home in homes() {
        let store = home.open().await;
        let first = store.intend(&intent("v", false), &order("a")).await.unwrap();
        // The second order finds the value there, since the first put it there: that does not make it foreign.
        let second = store.intend(&intent("v", true), &order("b")).await.unwrap();
        assert_eq!(first.id, second.id);
        assert!(!second.was_there);
        assert_eq!(second.holders, [order("a"), order("b")]);
        assert_eq!(store.intend(&intent("v", false), &order("a")).await.unwrap().holders.len(), 2, "a holder counts once");
        assert_ne!(store.intend(&intent("w", false), &order("a")).await.unwrap().id, first.id);
        assert_eq!(store.release(first.id, &order("a")).await.unwrap(), [order("b")]);
        assert_eq!(store.entries_of(&order("a")).await.unwrap().len(), 1);
        assert_eq!(store.release(first.id, &order("b")).await.unwrap(), []);
        assert_eq!(store.entry(first.id).await.unwrap().unwrap().holders, []);
        store.forget(first.id).await.unwrap();
        assert_eq!(store.entry(first.id).await.unwrap(), None);
        assert_eq!(store.entries().await.unwrap().len(), 1);
    }
}

#[tokio::test]
async fn forgetting_does_not_take_the_record_of_who_joined_meanwhile() {
    for home in homes() {
        let store = home.open().await;
        let entry = store.intend(&intent("v", false), &order("a")).await.unwrap();
        store.published(entry.id, &Handle(serde_json::json!("r1"))).await.unwrap();
        assert_eq!(store.release(entry.id, &order("a")).await.unwrap(), []);
        store.intend(&intent("v", true), &order("b")).await.unwrap();
        store.forget(entry.id).await.unwrap();
        let left = store.entry(entry.id).await.unwrap().unwrap();
        assert_eq!((left.holders.as_slice(), left.handle), ([order("b")].as_slice(), None));
        store.release(entry.id, &order("b")).await.unwrap();
        store.forget(entry.id).await.unwrap();
        let next = store.intend(&intent("v", false), &order("c")).await.unwrap();
        assert_ne!(next.id, entry.id, "a number is never given twice");
    }
}

#[tokio::test]
async fn an_entry_is_of_the_account_that_began_it() {
    for home in homes() {
        let (unnamed, other) = (home.open().await, home.open().await.of_account("other"));
        let (first, second) = (intent("v", false), intent("w", false));
        unnamed.intend(&first, &order("a")).await.unwrap();
        other.intend(&second, &order("b")).await.unwrap();
        other.note(&second, false).unwrap();
        // Who joins an entry does not make it his own.
        let joined = other.intend(&first, &order("c")).await.unwrap();
        assert_eq!((joined.account.as_str(), joined.holders.len()), ("", 2));
        let entries = unnamed.entries().await.unwrap();
        assert_eq!(entries.iter().map(|entry| unnamed.is_of_this_account(entry)).collect::<Vec<_>>(), [true, false]);
        assert_eq!(entries.iter().map(|entry| other.is_of_this_account(entry)).collect::<Vec<_>>(), [false, true]);
        assert_eq!(unnamed.notes(), []);
        assert_eq!(other.notes().len(), usize::from(!other.is_shared()));
    }
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..2usize, 0..3usize, any::<bool>())
            .prop_map(|(value, holder, was_there)| Step::Intend { value, holder, was_there }),
        1 => (0..2usize).prop_map(Step::Publish),
        3 => (0..2usize, 0..3usize).prop_map(|(value, holder)| Step::Release { value, holder }),
        1 => (0..2usize).prop_map(Step::Forget),
    ]
}

/// Takes the steps on the store and on the model, and compares them after each.
async fn follow(steps: Vec<Step>, store: Store) {
    let mut model: [Option<Model>; 2] = [None, None];
    for step in steps {
        match &step {
            Step::Intend { value, holder, was_there } => {
                let holder = order(&format!("o{holder}"));
                let entry = store.intend(&intent(&format!("v{value}"), *was_there), &holder).await.unwrap();
                let expected = model[*value].get_or_insert(Model {
                    id: entry.id,
                    was_there: *was_there,
                    is_published: false,
                    holders: Vec::new(),
                });
                if !expected.holders.contains(&holder) {
                    expected.holders.push(holder);
                }
                assert_eq!(entry.id, expected.id);
            }
            Step::Publish(value) => {
                let Some(expected) = &mut model[*value] else { continue };
                store.published(expected.id, &Handle(serde_json::json!({"id": 1}))).await.unwrap();
                expected.is_published = true;
            }
            Step::Release { value, holder } => {
                let Some(expected) = &mut model[*value] else { continue };
                let holder = order(&format!("o{holder}"));
                expected.holders.retain(|held| *held != holder);
                assert_eq!(store.release(expected.id, &holder).await.unwrap(), expected.holders);
            }
            Step::Forget(value) => {
                let Some(expected) = &mut model[*value] else { continue };
                store.forget(expected.id).await.unwrap();
                expected.is_published = false;
                if expected.holders.is_empty() {
                    model[*value] = None;
                }
            }
        }
        let found = store.entries().await.unwrap().into_iter().map(|entry| Model {
            id: entry.id,
            was_there: entry.was_there,
            is_published: entry.handle.is_some(),
            holders: entry.holders,
        });
        let mut expected: Vec<_> = model.iter().flatten().cloned().collect();
        expected.sort_by_key(|entry| entry.id);
        assert_eq!(found.collect::<Vec<_>>(), expected, "after {step:?}");
    }
}

#[derive(Clone, Debug)]
enum Step {
    Intend { value: usize, holder: usize, was_there: bool },
    Publish(usize),
    Release { value: usize, holder: usize },
    Forget(usize),
}

/// What an entry must be, told without a database.
#[derive(Clone, Debug, PartialEq)]
struct Model {
    id: EntryId,
    was_there: bool,
    is_published: bool,
    holders: Vec<Holder>,
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(40) })]
    #[test]
    fn holders_come_and_go_in_any_order(steps in prop::collection::vec(step(), 1..25)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            for home in homes() {
                follow(steps.clone(), home.open().await).await;
            }
        });
    }
}
