//! What is kept of an ACME CA in the state folder: the account's key, orders that are under way with their keys, and which certificates
//! to renew. Never in the store, which machines may share. Folders have mode 0700, files 0600; each is written whole.

use std::{
    fs::{self, DirBuilder, File},
    io::{self, Write},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use instant_acme::AccountCredentials;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};

use super::{directory::Ca, wanted::KeyType};
use crate::{
    error::{Error, ErrorKind, Result},
    language::t,
    name::Name,
    order::OrderId,
    secret::Secret,
};

/// The folder of one CA.
#[derive(Clone, Debug)]
pub(super) struct Folder(PathBuf);

/// The account at the CA.
#[derive(Serialize, Deserialize)]
pub(super) struct AccountFile {
    /// The CA as `--ca` names it.
    pub(super) ca: String,
    /// The CA certificates that its server is trusted by.
    pub(super) ca_file: Option<PathBuf>,
    /// The id of the external account, where the account is bound to one.
    pub(super) eab_key_id: Option<String>,
    /// The account's URL and key.
    pub(super) credentials: AccountCredentials,
}

/// An order that is under way.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Pending {
    /// Where it is at the CA.
    pub(super) url: String,
    /// The profile that it was made with.
    pub(super) profile: Option<String>,
    /// What it is for, so that it can be gone on with by whoever does not know; earlier versions did not keep it.
    #[serde(default)]
    pub(super) certificate: Option<Kept>,
}

/// A certificate that was issued, as it is to be renewed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// The order's id, the same for each renewal.
    pub id: OrderId,
    /// The names, in the order of the first application.
    pub names: Vec<Name>,
    /// The kind of key.
    pub key_type: KeyType,
    /// The profile.
    pub profile: Option<String>,
    /// The certificate request, where it was the user's own.
    pub csr: Option<PathBuf>,
}

impl Folder {
    /// The folder of `ca` below the folder of all ACME CAs. Nothing is made yet.
    pub(super) fn of(acme: &Path, ca: &Ca) -> Self {
        let digest = data_encoding::HEXLOWER.encode(&Sha256::digest(ca.directory.as_str()));
        Self(acme.join(format!("{}-{}", ca.label, &digest[..8])))
    }

    /// The folders of all CAs below the folder of all ACME CAs.
    pub(super) fn all(acme: &Path) -> Vec<Self> {
        let mut all: Vec<PathBuf> =
            fs::read_dir(acme).into_iter().flatten().flatten().map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
        all.sort();
        all.into_iter().map(Self).collect()
    }

    /// The path, for people.
    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// Waits for, and takes, the lock on the account, so that two runs register one account between them. Blocks.
    pub(super) fn lock(&self) -> Result<File> {
        make(&self.0)?;
        let path = self.0.join(".lock");
        let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(|error| failed(&path, error))?;
        // A file system without locks: two runs at the same moment may register two accounts, which hurts nobody.
        let _ = file.lock();
        Ok(file)
    }

    pub(super) fn account(&self) -> Result<Option<AccountFile>> {
        read(&self.0.join("account.json"))
    }

    pub(super) fn keep_account(&self, account: &AccountFile) -> Result<()> {
        write(&self.0.join("account.json"), account)
    }

    pub(super) fn pending(&self, id: &OrderId) -> Result<Option<Pending>> {
        read(&self.order(id).join("order.json"))
    }

    /// What the orders are for that are under way.
    pub(super) fn under_way(&self) -> Result<Vec<Kept>> {
        let folders = fs::read_dir(self.0.join("orders")).into_iter().flatten().flatten();
        let mut paths: Vec<PathBuf> = folders.map(|entry| entry.path().join("order.json")).collect();
        paths.sort();
        let read = |path: &PathBuf| read::<Pending>(path).transpose();
        let pending = paths.iter().filter_map(read).collect::<Result<Vec<_>>>()?;
        Ok(pending.into_iter().filter_map(|pending| pending.certificate).collect())
    }

    /// Whether something of an earlier run is left of this order.
    pub(super) fn is_pending(&self, id: &OrderId) -> bool {
        self.order(id).join("order.json").is_file()
    }

    pub(super) fn keep_pending(&self, id: &OrderId, pending: &Pending) -> Result<()> {
        write(&self.order(id).join("order.json"), pending)
    }

    /// The private key of the order's certificate, where it was made already.
    pub(super) fn key(&self, id: &OrderId) -> Result<Option<Secret>> {
        let path = self.order(id).join("privkey.pem");
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Some(Secret::new(text))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(&path, error)),
        }
    }

    /// Durably keeps the private key, before anything is made of it.
    pub(super) fn keep_key(&self, id: &OrderId, key: &Secret) -> Result<()> {
        write_bytes(&self.order(id).join("privkey.pem"), key.expose().as_bytes())
    }

    /// Forgets the order and its key: the certificate is delivered, or the order has come to nothing.
    pub(super) fn forget(&self, id: &OrderId) -> Result<()> {
        let path = self.order(id);
        match fs::remove_dir_all(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(&path, error)),
            _ => Ok(()),
        }
    }

    pub(super) fn keep(&self, kept: &Kept) -> Result<()> {
        write(&self.0.join("certificates").join(format!("{}.json", kept.id)), kept)
    }

    /// The certificates to renew.
    pub(super) fn kept(&self) -> Result<Vec<Kept>> {
        let folder = self.0.join("certificates");
        let mut paths: Vec<PathBuf> = fs::read_dir(&folder)
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
            .collect();
        paths.sort();
        paths.iter().filter_map(|path| read(path).transpose()).collect()
    }

    fn order(&self, id: &OrderId) -> PathBuf {
        self.0.join("orders").join(id.as_str())
    }
}

/// What the state folder knows of one CA.
#[derive(Debug)]
pub struct Remembered {
    /// The CA.
    pub ca: Ca,
    /// Orders that are under way.
    pub under_way: Vec<Kept>,
    /// Certificates that were issued.
    pub issued: Vec<Kept>,
}

/// Every CA that the state folder knows. The CA file that it was registered with comes along by itself.
///
/// # Errors
/// A file that cannot be read, or is damaged.
pub fn remembered(folder: &Path) -> Result<Vec<Remembered>> {
    let mut all = Vec::new();
    for folder in Folder::all(folder) {
        if let Some(account) = folder.account()? {
            all.push(Remembered { ca: Ca::parse(&account.ca)?, under_way: folder.under_way()?, issued: folder.kept()? });
        }
    }
    Ok(all)
}

fn failed(path: &Path, error: io::Error) -> Error {
    Error::new(ErrorKind::Store, t!("`%{path}` in the state folder: %{error}", path = path.display(), error))
        .with_hint(t!("give this user the right to read and write there; `--store FILE` chooses another state folder"))
        .with_source(error)
}

fn make(folder: &Path) -> Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(|error| failed(folder, error))
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    match fs::read_to_string(path) {
        Ok(text) => serde_json::from_str(&text).map(Some).map_err(|error| {
            Error::new(ErrorKind::Store, t!("`%{path}` is damaged: %{error}", path = path.display(), error))
                .with_hint(t!("move that file away; without it this begins anew"))
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(path, error)),
    }
}

fn write(path: &Path, value: &impl Serialize) -> Result<()> {
    let text = serde_json::to_vec_pretty(value)
        .map_err(|error| Error::new(ErrorKind::Unexpected, format!("`{}`: {error}", path.display())))?;
    write_bytes(path, &text)
}

/// Writes under another name, then renames: whoever reads finds all of it or nothing.
fn write_bytes(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = path.parent().unwrap_or(path);
    make(folder)?;
    let written = || -> io::Result<()> {
        let mut file = tempfile::Builder::new().prefix(".new-").tempfile_in(folder)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        File::open(folder)?.sync_all()
    };
    written().map_err(|error| failed(path, error))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn kept(id: &OrderId) -> Kept {
        Kept {
            id: id.clone(),
            names: vec![Name::parse("example.com").unwrap()],
            key_type: KeyType::P384,
            profile: Some("shortlived".into()),
            csr: None,
        }
    }

    #[test]
    fn an_order_of_an_earlier_version_is_read() {
        let home = tempfile::tempdir().unwrap();
        let folder = Folder::of(home.path(), &Ca::parse("letsencrypt").unwrap());
        let id = OrderId::parse("letsencrypt-example.com-0123").unwrap();
        write_bytes(&folder.order(&id).join("order.json"), br#"{"url": "https://ca.example/order/1", "profile": null}"#).unwrap();
        assert_eq!(folder.pending(&id).unwrap().unwrap().url, "https://ca.example/order/1");
        assert_eq!(folder.under_way().unwrap(), [], "whose names nobody knows");
    }

    #[test]
    fn a_key_is_kept_for_its_owner_only_until_the_order_is_forgotten() {
        let home = tempfile::tempdir().unwrap();
        let folder = Folder::of(home.path(), &Ca::parse("letsencrypt").unwrap());
        let id = OrderId::parse("letsencrypt-example.com-0123").unwrap();
        assert!(folder.key(&id).unwrap().is_none() && !folder.is_pending(&id));
        let pending = Pending { url: "https://ca.example/order/1".into(), profile: None, certificate: Some(kept(&id)) };
        folder.keep_pending(&id, &pending).unwrap();
        assert_eq!(folder.under_way().unwrap(), [kept(&id)]);
        folder.keep_key(&id, &Secret::new("a key")).unwrap();
        let path = folder.order(&id).join("privkey.pem");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(folder.path()).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(folder.key(&id).unwrap().unwrap().expose(), "a key");
        assert_eq!(folder.pending(&id).unwrap().unwrap().url, "https://ca.example/order/1");
        folder.forget(&id).unwrap();
        assert!(!path.exists() && folder.pending(&id).unwrap().is_none());
        folder.forget(&id).unwrap();
    }

    #[test]
    fn what_is_to_be_renewed_is_listed() {
        let home = tempfile::tempdir().unwrap();
        let folder = Folder::of(home.path(), &Ca::parse("letsencrypt").unwrap());
        let kept = kept(&OrderId::parse("letsencrypt-example.com-0123").unwrap());
        folder.keep(&kept).unwrap();
        assert_eq!(folder.kept().unwrap(), [kept]);
        assert_eq!(Folder::all(home.path()).len(), 1);
    }

    #[test]
    fn a_damaged_file_is_named() {
        let home = tempfile::tempdir().unwrap();
        let folder = Folder::of(home.path(), &Ca::parse("zerossl").unwrap());
        make(folder.path()).unwrap();
        fs::write(folder.path().join("account.json"), "{").unwrap();
        let error = folder.account().err().unwrap();
        assert!(error.to_string().contains("account.json` is damaged"), "{error}");
    }
}
