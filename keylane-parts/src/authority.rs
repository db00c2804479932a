//! A certificate authority of one's own, for parts that speak TLS: made by the `openssl` command, its files in a temporary folder.

use crate::error::{IoContext, Result};
use crate::install::{Tool, ensure_installed, run};
use crate::work_dir::WorkDir;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Days that a certificate is good for: longer than any test, shorter than anybody would use one by mistake.
const DAYS: &str = "30";
/// Everything that is asked for stands here or on the command line, whatever the machine's own openssl.cnf says.
const SETTINGS: &str = "[req]
distinguished_name=name
prompt=no
[name]
[authority]
basicConstraints=critical,CA:TRUE
keyUsage=critical,keyCertSign,cRLSign
subjectKeyIdentifier=hash
";

/// An authority that issues certificates. Its files go with it.
#[derive(Debug)]
pub struct Authority {
    dir: WorkDir,
}

/// A certificate and its private key, both PEM. They go with the authority that issued them.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// The certificate.
    pub certificate: PathBuf,
    /// Its key (PKCS #8, not encrypted).
    pub key: PathBuf,
    /// The certificate of the authority that issued it.
    pub authority: PathBuf,
}

impl Authority {
    /// Makes an authority that calls itself `name`.
    ///
    /// # Errors
    /// When the `openssl` command is missing and cannot be installed, or fails.
    pub fn new(name: &str) -> Result<Self> {
        ensure_installed(&[Tool::Openssl])?;
        let authority = Self {
            dir: WorkDir::temporary("authority")?,
        };
        let settings = authority.path("settings");
        std::fs::write(&settings, SETTINGS).doing("writing openssl's settings", &settings)?;
        let mut request = authority.request(name, &authority.own_key());
        request.args(["-x509", "-extensions", "authority", "-days", DAYS]);
        request.arg("-out").arg(authority.certificate());
        run("making a certificate authority", &mut request)?;
        Ok(authority)
    }

    /// The authority's own certificate (PEM): what others trust.
    #[must_use]
    pub fn certificate(&self) -> PathBuf {
        self.path("authority.pem")
    }

    /// Issues a certificate for `subject` that is good for these host names and addresses, as a server's and as a client's.
    ///
    /// # Errors
    /// With what openssl said.
    pub fn issue(&self, subject: &str, hosts: &[&str]) -> Result<Certificate> {
        let issued = Certificate {
            certificate: self.path(&format!("{subject}.pem")),
            key: self.path(&format!("{subject}.key")),
            authority: self.certificate(),
        };
        let request = self.path(&format!("{subject}.request"));
        let mut asking = self.request(subject, &issued.key);
        run("asking for a certificate", asking.arg("-out").arg(&request))?;
        let extensions = self.path(&format!("{subject}.extensions"));
        std::fs::write(&extensions, extensions_for(hosts))
            .doing("writing a certificate's extensions", &extensions)?;
        let mut issuing = Command::new("openssl");
        issuing.args(["x509", "-req", "-days", DAYS, "-CAcreateserial"]);
        issuing.arg("-in").arg(&request);
        issuing.arg("-CA").arg(self.certificate());
        issuing.arg("-CAkey").arg(self.own_key());
        issuing.arg("-extfile").arg(&extensions);
        issuing.arg("-out").arg(&issued.certificate);
        run("issuing a certificate", &mut issuing)?;
        Ok(issued)
    }

    fn request(&self, subject: &str, key: &Path) -> Command {
        let mut request = Command::new("openssl");
        request.args(["req", "-new", "-nodes", "-newkey", "ec"]);
        request.args(["-pkeyopt", "ec_paramgen_curve:P-256"]);
        request.arg("-config").arg(self.path("settings"));
        request.args(["-subj", &format!("/CN={subject}")]);
        request.arg("-keyout").arg(key);
        request
    }

    fn own_key(&self) -> PathBuf {
        self.path("authority.key")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

fn extensions_for(hosts: &[&str]) -> String {
    let mut text =
        "basicConstraints=critical,CA:FALSE\nextendedKeyUsage=serverAuth,clientAuth\n".to_owned();
    let names: Vec<String> = hosts
        .iter()
        .map(|host| match host.parse::<std::net::IpAddr>() {
            Ok(address) => format!("IP:{address}"),
            Err(_) => format!("DNS:{host}"),
        })
        .collect();
    if !names.is_empty() {
        text.push_str(&format!("subjectAltName={}\n", names.join(",")));
    }
    text
}
