//! Which tenant a URL belongs to: `default` lives at the origin, every other under `/t/{tenant}`. All tenants share one set of
//! routes; what comes before or after them names the tenant.

use crate::protocol::tenant::is_tenant_name;

/// The tenant that lives at the origin itself.
pub const DEFAULT_TENANT: &str = "default";

/// What a tenant has under its own base. Everything else exists at the origin only.
const SCOPED: [&str; 6] = ["/jwks.json", "/oauth/", "/ssf/", "/events", "/subscriptions", "/admin/"];

/// The name and the path within the tenant, or `None` where there can be nothing.
pub fn locate(path: &str) -> Option<(&str, &str)> {
    if let Some(rest) = path.strip_prefix("/t/") {
        let at = rest.find('/')?;
        let (tenant, inner) = rest.split_at(at);
        let is_scoped = SCOPED.iter().any(|prefix| inner.starts_with(prefix)) && !inner.starts_with("/admin/tenants");
        return Some((other(tenant)?, inner)).filter(|_| is_scoped);
    }
    // The tenant's path comes after the well-known part (SSF-7.2-2).
    if path.starts_with("/.well-known/")
        && let Some((document, tenant)) = path.split_once("/t/")
    {
        return Some((other(tenant)?, document));
    }
    Some((DEFAULT_TENANT, path))
}

fn other(tenant: &str) -> Option<&str> {
    Some(tenant).filter(|tenant| is_tenant_name(tenant) && *tenant != DEFAULT_TENANT)
}

/// Where a tenant lives: its base URL, which is also its issuer.
pub fn base(origin: &str, tenant: &str) -> String {
    if tenant == DEFAULT_TENANT {
        origin.to_owned()
    } else {
        format!("{origin}/t/{tenant}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::metadata::{SSF_CONFIGURATION, well_known_url};

    #[test]
    fn every_url_belongs_to_one_tenant_or_to_none() {
        for (path, expected) in [
            ("/ssf/streams", Some(("default", "/ssf/streams"))),
            ("/t/acme/ssf/streams", Some(("acme", "/ssf/streams"))),
            (
                "/t/acme/admin/streams/x/explain",
                Some(("acme", "/admin/streams/x/explain")),
            ),
            ("/t/acme/jwks.json", Some(("acme", "/jwks.json"))),
            ("/admin/tenants/acme", Some(("default", "/admin/tenants/acme"))),
            (
                "/.well-known/ssf-configuration",
                Some(("default", "/.well-known/ssf-configuration")),
            ),
            (
                "/.well-known/ssf-configuration/t/acme",
                Some(("acme", "/.well-known/ssf-configuration")),
            ),
            // Nothing of these exists.
            ("/t/acme", None),
            ("/t/acme/", None),
            ("/t/default/ssf/streams", None),
            ("/t/Acme/ssf/streams", None),
            ("/t/ac%6de/ssf/streams", None),
            ("/t//ssf/streams", None),
            ("/t/acme/t/acme/ssf/streams", None),
            ("/t/acme/.well-known/ssf-configuration", None),
            ("/t/acme/admin/tenants", None),
            ("/t/acme/console.json", None),
            ("/t/acme/receive/x", None),
            ("/.well-known/ssf-configuration/t/default", None),
            ("/.well-known/ssf-configuration/t/acme/", None),
        ] {
            assert_eq!(locate(path), expected, "{path}");
        }
    }

    /// SSF-7.2-2, pitfalls 7 and 8: what we advertise is found where others look for it.
    #[test]
    fn a_tenants_metadata_is_where_its_issuer_leads() {
        for tenant in ["default", "acme", "a-1"] {
            let issuer = base("https://tx.example", tenant);
            let url = well_known_url(&issuer, SSF_CONFIGURATION).unwrap();
            let path = url.strip_prefix("https://tx.example").unwrap();
            assert_eq!(locate(path), Some((tenant, "/.well-known/ssf-configuration")));
        }
    }
}
