//! Applications, in all three generations.

use std::time::{Duration, Instant};

use rcgen::{CertificateSigningRequestParams, SanType};
use serde_json::json;

use super::{call::Call, failure::Failure, instances::instance, reply::Fields};
use crate::{
    name::Name,
    order::Generation,
    sandbox::{
        World,
        orders::{OrderBook, Stage, kinds::Validation, life::Application},
    },
};

/// The product of a package where the call names none.
const FREE: &str = "digicert-free-1-free";

/// How many names an order of a package may have.
const MOST_NAMES: usize = 5;

/// What a call that changes orders works with.
pub(super) struct Desk<'a> {
    /// The sandbox.
    pub(super) world: &'a World,
    /// The orders, locked.
    pub(super) orders: &'a mut OrderBook,
    /// The time.
    pub(super) now: Instant,
}

impl Desk<'_> {
    fn challenge_at(&self, own: Option<u64>) -> Instant {
        self.now + own.map_or(self.world.options.challenge_delay, Duration::from_millis)
    }

    fn submit(&mut self, id: &str, application: Application) {
        let own = self.orders.get(id).and_then(|order| order.traits.challenge_delay_ms);
        let at = self.challenge_at(own);
        let names = self.orders.submit(id, application, at, |name| self.world.root_of(name));
        self.world.look(names, at);
    }

    /// `UpdateInstance`: what the instance is to apply for. Some instances submit themselves at this.
    pub(super) fn update_instance(&mut self, call: &Call) -> Result<Fields, Failure> {
        let id = call.require("InstanceId")?;
        let order = instance(self.orders, id)?;
        if order.is_pending(self.now) {
            return Err(Failure::new(400, "InvalidStatus.UpdateProtection", "The instance is being applied for."));
        }
        must_be_alive(order.stage(self.now))?;
        let csr = match call.get("GenerateCsrMethod").unwrap_or("online") {
            "online" => None,
            "upload" => Some(call.require("Csr")?.to_owned()),
            _ => return Err(Failure::invalid("GenerateCsrMethod", "is not valid")),
        };
        let domains = match (call.get("Domain"), &csr) {
            (Some(list), _) => names(list)?,
            (None, Some(csr)) => names_of(csr)?,
            (None, None) if order.draft.is_some() => order.domains.clone(),
            (None, None) => return Err(Failure::missing("Domain")),
        };
        if let Some(csr) = &csr {
            names_of(csr)?;
        }
        let validation = match call.get("ValidationMethod").unwrap_or("DNS") {
            "DNS" => Validation::Txt,
            "HTTP" => Validation::File,
            _ => return Err(Failure::invalid("ValidationMethod", "is not valid")),
        };
        let key_algorithm = call.get("KeyAlgorithm").unwrap_or("RSA_2048").to_owned();
        if !["RSA_2048", "RSA_3072", "RSA_4096", "ECC_256", "SM2"].contains(&key_algorithm.as_str()) {
            return Err(Failure::invalid("KeyAlgorithm", "is not valid"));
        }
        if let Some(contact) = call.get("ContactIdList.1").filter(|contact| *contact != "1") {
            return Err(Failure::not_found(format!("contact {contact}")));
        }
        let submits_itself = order.traits.auto_submit;
        let application = Application { domains, validation, csr, key_algorithm };
        if submits_itself {
            self.submit(id, application);
        } else {
            self.orders.draft(id, application);
        }
        Ok(Fields::new())
    }

    /// `ApplyCertificate`: submits what `UpdateInstance` left.
    pub(super) fn apply_certificate(&mut self, call: &Call) -> Result<Fields, Failure> {
        let id = call.require("InstanceId")?;
        let order = instance(self.orders, id)?;
        if order.is_pending(self.now) {
            return Err(Failure::new(
                400,
                "OperationDenied.StatusNotSupport",
                "The status of the instance does not support this.",
            ));
        }
        must_be_alive(order.stage(self.now))?;
        let Some(application) = order.draft.clone() else { return Err(Failure::missing("Domain")) };
        self.submit(id, application);
        Ok(Fields::new())
    }

    /// `CreateDVOrderAudit` of 2018.
    pub(super) fn create_dv_order_audit(&mut self, call: &Call) -> Result<Fields, Failure> {
        let id = call.require("InstanceId")?;
        for parameter in ["Username", "Email", "Mobile", "Province", "City"] {
            call.require(parameter)?;
        }
        let domains = names(call.require("Domain")?)?;
        let validation = validation(call.require("DomainVerifyType")?, "DomainVerifyType")?;
        let order = self.orders.get(id).filter(|order| order.generation == Generation::Api2018);
        let order = order.ok_or_else(Failure::unknown_order)?;
        if order.stage(self.now) != Stage::NotSubmitted {
            return Err(state_error());
        }
        self.submit(id, Application { domains, validation, csr: None, key_algorithm: "ECC_256".to_owned() });
        Ok(Fields::new())
    }

    /// `CreateCertificateForPackageRequest`, `CreateCertificateRequest`, and `CreateCertificateWithCsrRequest`: an order out of a package.
    pub(super) fn create_certificate(&mut self, call: &Call) -> Result<Fields, Failure> {
        for parameter in ["Username", "Email", "Phone"] {
            call.require(parameter)?;
        }
        let product = match call.action.as_str() {
            "CreateCertificateForPackageRequest" => call.require("ProductCode")?,
            _ => call.get("ProductCode").unwrap_or(FREE),
        };
        let csr = match call.action.as_str() {
            "CreateCertificateWithCsrRequest" => Some(call.require("Csr")?.to_owned()),
            "CreateCertificateRequest" => None,
            _ => call.get("Csr").map(str::to_owned),
        };
        let domains = match (&csr, call.get("Domain")) {
            (_, Some(list)) => names(list)?,
            (Some(csr), None) => names_of(csr)?,
            (None, None) => return Err(Failure::missing("Domain")),
        };
        if let Some(csr) = &csr {
            names_of(csr)?;
        }
        let validation = validation(call.require("ValidateType")?, "ValidateType")?;
        self.order_of_package(product, Application { domains, validation, csr, key_algorithm: "ECC_256".to_owned() })
    }

    /// `RenewCertificateOrderForPackageRequest`: a new order for the names of an issued one.
    pub(super) fn renew_order(&mut self, call: &Call) -> Result<Fields, Failure> {
        let order = self.orders.get(call.require("OrderId")?).filter(|order| order.generation == Generation::Order);
        let order = order.ok_or_else(Failure::unknown_order)?;
        if order.stage(self.now) != Stage::Issued {
            return Err(state_error());
        }
        let product = order.product.clone().unwrap_or_else(|| FREE.to_owned());
        let csr = call.get("Csr").map(str::to_owned);
        let domains = order.domains.clone();
        let validation = order.traits.validation;
        self.order_of_package(&product, Application { domains, validation, csr, key_algorithm: "ECC_256".to_owned() })
    }

    fn order_of_package(&mut self, product: &str, application: Application) -> Result<Fields, Failure> {
        if self.orders.packages.get(product).is_none() {
            return Err(Failure::new(404, "NotFoundPackage", "The package does not exist."));
        }
        let wildcards = application.domains.iter().filter(|name| name.is_wildcard()).count();
        let expected = if product.contains("-w-") { application.domains.len() } else { 0 };
        if wildcards != expected || application.domains.len() > MOST_NAMES {
            return Err(Failure::new(400, "DomainAndProductNotMatch", "The domain does not match the product."));
        }
        if !self.orders.packages.take(product) {
            return Err(Failure::new(404, "NotRemainCount", "The quota of the package is used up."));
        }
        let at = self.challenge_at(None);
        let root_of = |name: &Name| self.world.root_of(name);
        let product = Some(product.to_owned());
        let (id, names) = self.orders.create(Generation::Order, application, product, at, root_of, &self.world.ca);
        self.world.look(names, at);
        let number: u64 = id.parse().unwrap_or_default();
        Ok(json!({"OrderId": number}).as_object().cloned().unwrap_or_default())
    }
}

/// `DescribePackageState`: what is left of a product.
pub(super) fn describe_package_state(orders: &OrderBook, call: &Call) -> Result<Fields, Failure> {
    let product = call.require("ProductCode")?;
    let package = orders.packages.get(product);
    let package = package.ok_or_else(|| Failure::new(404, "NotFoundPackage", "The package does not exist."))?;
    let issued = orders
        .of(Generation::Order)
        .filter(|order| order.product.as_deref() == Some(product) && order.issued_certificate().is_some());
    let fields = json!({
        "ProductCode": product, "TotalCount": package.total, "UsedCount": package.used, "IssuedCount": issued.count(),
    });
    Ok(fields.as_object().cloned().unwrap_or_default())
}

/// The state of an order does not allow what is asked.
pub(super) fn state_error() -> Failure {
    Failure::new(403, "OrderStateError", "The state of the order does not support this operation.")
}

fn must_be_alive(stage: Stage) -> Result<(), Failure> {
    match stage {
        Stage::Closed | Stage::Refunded => {
            Err(Failure::new(400, "OperationDenied.StatusNotSupport", "The status of the instance does not support this."))
        }
        _ => Ok(()),
    }
}

fn validation(text: &str, parameter: &str) -> Result<Validation, Failure> {
    match text {
        "DNS" => Ok(Validation::Txt),
        "FILE" => Ok(Validation::File),
        _ => Err(Failure::invalid(parameter, "is not valid")),
    }
}

fn names(list: &str) -> Result<Vec<Name>, Failure> {
    list.split(',').map(|name| Name::parse(name.trim()).map_err(|_| Failure::invalid("Domain", "is not valid"))).collect()
}

/// The names of a request: its alternative names, else its common name.
fn names_of(csr: &str) -> Result<Vec<Name>, Failure> {
    let wrong = || Failure::new(400, "CreateCsrFailed", "The CSR cannot be parsed.");
    let request = CertificateSigningRequestParams::from_pem(csr).map_err(|_| wrong())?;
    let alternatives = request.params.subject_alt_names.iter().filter_map(|name| match name {
        SanType::DnsName(name) => Some(name.to_string()),
        _ => None,
    });
    let mut all: Vec<String> = alternatives.collect();
    if all.is_empty()
        && let Some(rcgen::DnValue::Utf8String(common)) = request.params.distinguished_name.get(&rcgen::DnType::CommonName)
    {
        all.push(common.clone());
    }
    let all: Vec<Name> = all.iter().filter_map(|name| Name::parse(name).ok()).collect();
    if all.is_empty() { Err(wrong()) } else { Ok(all) }
}
