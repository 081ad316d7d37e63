//! Who applies at CAS.

use super::layers::Layers;
use crate::{
    error::{Error, Result},
    language::t,
    order::aliyun::applying::Applicant,
};

/// Reads the options of the group *The applicant*: the applicant, and the numbers of contacts.
pub(super) fn applicant(layers: &Layers) -> Result<(Applicant, Vec<u64>)> {
    let text = |name: &str| layers.one(name, |text| Ok(text.to_owned()));
    let applicant = Applicant {
        name: text("applicant-name")?,
        email: layers.one("applicant-email", email)?,
        phone: text("applicant-phone")?,
        province: text("applicant-province")?,
        city: text("applicant-city")?,
    };
    let number = |text: &str| text.parse().map_err(|_| Error::config(t!("`%{text}` is not the number of a contact", text)));
    Ok((applicant, layers.all("contact-id", number)?))
}

fn email(text: &str) -> Result<String> {
    let is_one = text.split_once('@').is_some_and(|(user, host)| !user.is_empty() && host.contains('.'));
    if is_one && !text.contains(char::is_whitespace) {
        return Ok(text.to_owned());
    }
    Err(Error::config(t!("`%{text}` is not a mail address", text)))
}
