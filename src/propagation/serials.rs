//! How far each authority has come with the zone: the serial of its SOA, compared as RFC 1982 says.

use futures_util::future::join_all;
use hickory_proto::{
    op::{Message, ResponseCode},
    rr::{RData, RecordType as WireType},
};

use super::{Authority, shared::Shared};
use crate::{language::t, name::Name};

/// How far one authority has come with its zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Serial {
    /// Who.
    pub authority: Authority,
    /// The serial that it serves.
    pub serial: u32,
    /// The newest that any authority of the zone serves.
    pub newest: u32,
}

impl Serial {
    /// That it is behind, and by how much; the end of a sentence that begins with the server. `None` where it is not.
    pub fn lag(&self) -> Option<String> {
        lag(self.serial, self.newest)
    }
}

/// See [`super::Propagation::serials`].
pub(super) async fn of_all(shared: &Shared, name: &Name) -> Vec<Serial> {
    let Ok(delegation) = shared.delegation(name).await else { return Vec::new() };
    let zone = &delegation.zone;
    let each = delegation.authorities.iter().map(|authority| async move {
        let answer = shared.ask_authority(authority.address, zone, WireType::SOA).await.ok()?;
        Some((authority.clone(), in_answer(zone, &answer)?))
    });
    let found: Vec<(Authority, u32)> = join_all(each).await.into_iter().flatten().collect();
    let Some(newest) = newest(found.iter().map(|(_, serial)| *serial)) else { return Vec::new() };
    found.into_iter().map(|(authority, serial)| Serial { authority, serial, newest }).collect()
}

/// The serial of `zone` in an authoritative answer to the question for its SOA.
pub(crate) fn in_answer(zone: &Name, answer: &Message) -> Option<u32> {
    let usable = answer.metadata.authoritative && answer.metadata.response_code == ResponseCode::NoError;
    answer.answers.iter().filter(|_| usable).find_map(|entry| match &entry.data {
        RData::SOA(soa) if Name::from_wire(&entry.name) == *zone => Some(soa.serial),
        _ => None,
    })
}

/// The newest of them.
pub(crate) fn newest(serials: impl Iterator<Item = u32>) -> Option<u32> {
    serials.reduce(|one, other| if is_newer(other, one) { other } else { one })
}

/// Serial number arithmetic (RFC 1982 section 3.2).
fn is_newer(one: u32, other: u32) -> bool {
    one != other && one.wrapping_sub(other) < 1 << 31
}

/// The end of a sentence that begins with a server that serves `serial`; `None` where that is the newest.
pub(crate) fn lag(serial: u32, newest: u32) -> Option<String> {
    let by = newest.wrapping_sub(serial);
    (by != 0).then(|| t!("is behind: it serves serial %{serial}, the newest is %{newest}, %{by} further", serial, newest, by))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serials_wrap_around() {
        assert_eq!(newest([7, 5, 6].into_iter()), Some(7));
        assert_eq!(newest([u32::MAX, 2, u32::MAX - 1].into_iter()), Some(2));
        assert_eq!(newest(std::iter::empty()), None);
        assert_eq!(lag(u32::MAX, 2).unwrap(), "is behind: it serves serial 4294967295, the newest is 2, 3 further");
        assert_eq!(lag(2, 2), None);
    }
}
