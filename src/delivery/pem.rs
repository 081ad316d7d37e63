//! PEM (RFC 7468), read as it comes in the wild: other line ends, text between the blocks, blocks that touch, no line breaks at all.

use zeroize::Zeroizing;

use crate::{language::t, secret::Secret};

/// One block. The bytes are wiped on drop, since they may be a key.
pub(super) struct Block {
    pub(super) label: String,
    pub(super) der: Zeroizing<Vec<u8>>,
}

const BEGIN: &str = "-----BEGIN ";
const DASHES: &str = "-----";

/// All blocks of `text`. The error says what is wrong, without any of the content.
pub(super) fn blocks(text: &str) -> Result<Vec<Block>, String> {
    let mut blocks = Vec::new();
    let mut rest = text;
    while let Some(begin) = rest.find(BEGIN) {
        rest = &rest[begin + BEGIN.len()..];
        let Some((label, after)) = rest.split_once(DASHES) else { return Err(t!("a BEGIN line does not end").to_owned()) };
        let Some((body, after)) = after.split_once(&format!("-----END {label}{DASHES}")) else {
            return Err(t!("the block `%{label}` has no end", label = shown(label)));
        };
        blocks.push(Block { label: label.to_owned(), der: decode(body, label)? });
        rest = after;
    }
    Ok(blocks)
}

fn decode(body: &str, label: &str) -> Result<Zeroizing<Vec<u8>>, String> {
    if body.contains("ENCRYPTED") || label.contains("ENCRYPTED") {
        return Err(t!("the block `%{label}` is encrypted", label = shown(label)));
    }
    // An API that escapes twice sends line breaks as a backslash and a letter.
    let plain = Zeroizing::new(body.replace("\\r", "").replace("\\n", "").split_whitespace().collect::<String>());
    let der = data_encoding::BASE64.decode(plain.as_bytes());
    der.map(Zeroizing::new).map_err(|_| t!("the block `%{label}` is not base64", label = shown(label)))
}

/// A label for an error, never more than a label's length of foreign text.
fn shown(label: &str) -> String {
    label.chars().filter(|character| !character.is_control()).take(40).collect()
}

/// One block with lines of 64 characters (RFC 7468 section 2).
pub(super) fn write(label: &str, der: &[u8]) -> Secret {
    let body = Zeroizing::new(data_encoding::BASE64.encode(der));
    let mut text = format!("-----BEGIN {label}-----\n");
    let mut rest = body.as_str();
    while !rest.is_empty() {
        // Base64 is ASCII: every index is a boundary.
        let (line, after) = rest.split_at(rest.len().min(64));
        text.push_str(line);
        text.push('\n');
        rest = after;
    }
    text.extend(["-----END ", label, "-----\n"]);
    Secret::new(text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_common_spelling_is_read() {
        let der = b"some bytes that take more than one line of sixty-four characters";
        let plain = write("CERTIFICATE", der).expose().to_owned();
        let spellings = [
            plain.replace('\n', "\r\n"),
            format!("subject=/CN=x\n{plain}\n\ntext after"),
            format!("\u{feff}  {}", plain.replace('\n', "\n   ")),
            plain.replace('\n', ""),
            plain.replace('\n', "\\n"),
        ];
        for spelling in &spellings {
            let found = blocks(spelling).unwrap();
            assert_eq!(
                (found.len(), found[0].label.as_str(), found[0].der.as_slice()),
                (1, "CERTIFICATE", &der[..]),
                "{spelling}"
            );
        }
        let joined = blocks(&format!("{0}{0}", plain.trim())).unwrap();
        assert_eq!(joined.len(), 2, "the END line of one and the BEGIN line of the next on one line");
    }

    #[test]
    fn what_is_wrong_is_said_without_content() {
        for (text, expected) in [
            ("-----BEGIN PRIVATE KEY-----\nAAAA", "no end"),
            ("-----BEGIN PRIVATE KEY", "does not end"),
            ("-----BEGIN PRIVATE KEY-----\nhunter2!\n-----END PRIVATE KEY-----", "not base64"),
            ("-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----", "encrypted"),
            ("-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nAAAA\n-----END RSA PRIVATE KEY-----", "encrypted"),
        ] {
            let error = blocks(text).err().unwrap();
            assert!(error.contains(expected) && !error.contains("hunter2"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(der in prop::collection::vec(any::<u8>(), 1..300)) {
            let found = blocks(write("X", &der).expose()).unwrap();
            prop_assert_eq!(found[0].der.as_slice(), der.as_slice());
        }

        #[test]
        fn no_text_makes_it_panic(text in "(-----BEGIN |-----END |-----|KEY|[a-zA-Zä\n]){0,12}") {
            let _ = blocks(&text);
        }
    }
}
