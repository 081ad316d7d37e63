//! What was bought of each product, and what is used up of it.

use std::collections::BTreeMap;

/// How many certificates of each product there are where nobody says otherwise.
const TOTAL: u64 = 20;

/// The products that the sandbox's account has.
const PRODUCTS: [&str; 5] =
    ["digicert-free-1-free", "symantec-free-1-free", "symantec-dv-1-starter", "geotrust-dv-1-starter", "geotrust-dv-w-starter"];

/// All packages of the account.
pub(in crate::sandbox) struct Packages(BTreeMap<String, Package>);

/// A package.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sandbox) struct Package {
    /// How many were bought.
    pub(in crate::sandbox) total: u64,
    /// How many are used.
    pub(in crate::sandbox) used: u64,
}

impl Default for Packages {
    fn default() -> Self {
        let package = Package { total: TOTAL, used: 0 };
        Self(PRODUCTS.into_iter().map(|product| (product.to_owned(), package)).collect())
    }
}

impl Packages {
    /// The package of a product.
    pub(in crate::sandbox) fn get(&self, product: &str) -> Option<Package> {
        self.0.get(product).copied()
    }

    /// Uses one up; false where none is left.
    pub(in crate::sandbox) fn take(&mut self, product: &str) -> bool {
        let Some(package) = self.0.get_mut(product).filter(|package| package.used < package.total) else { return false };
        package.used += 1;
        true
    }

    /// Gives one back.
    pub(in crate::sandbox) fn give_back(&mut self, product: &str) {
        if let Some(package) = self.0.get_mut(product) {
            package.used = package.used.saturating_sub(1);
        }
    }

    /// Sets how many are left of a product, which the account need not have had.
    pub(in crate::sandbox) fn set_left(&mut self, product: &str, left: u64) {
        let package = self.0.entry(product.to_owned()).or_insert(Package { total: 0, used: 0 });
        package.total = package.used + left;
    }
}
