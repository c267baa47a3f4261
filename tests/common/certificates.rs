//! Certificates for a test, made by openssl.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

const NOT_INSTALLED: &str =
    "openssl is not installed: apt-get install -y --no-install-recommends openssl";

/// Two authorities, `ca` and `other-ca`; by `ca` a `server` certificate for localhost, one for
/// `elsewhere`, and a `client` one; by `other-ca` a `stranger`, which is a client's. Each is a `.pem` and a
/// `.key` file.
pub struct Certificates(TempDir);

impl Certificates {
    pub fn make() -> Self {
        let made = Self(tempfile::tempdir().expect("a temporary directory"));
        for ca in ["ca", "other-ca"] {
            made.authority(ca);
        }
        // The last is this machine as an emulated board sees it.
        let here = "DNS:localhost,IP:127.0.0.1,IP:10.0.2.2";
        for (name, ca, names) in [
            ("server", "ca", here),
            ("elsewhere", "ca", "DNS:elsewhere.example"),
            ("client", "ca", "DNS:client"),
            ("stranger", "other-ca", "DNS:client"),
        ] {
            made.certificate(name, ca, names);
        }
        made
    }

    pub fn path(&self, file: &str) -> PathBuf {
        self.0.path().join(file)
    }

    /// A certificate in DER.
    pub fn der(&self, name: &str) -> Vec<u8> {
        let path = self.path(&format!("{name}.der"));
        if !path.exists() {
            self.openssl(&format!("x509 -in {name}.pem -outform der -out {name}.der"));
        }
        fs::read(path).expect("a file that was made")
    }

    pub fn text(&self, file: &str) -> String {
        fs::read_to_string(self.path(file)).expect("a file that was made")
    }

    /// The entries of a server's `tls` block.
    pub fn config(&self, server: &str) -> String {
        let [certificate, key, ca] = [
            format!("{server}.pem"),
            format!("{server}.key"),
            "ca.pem".into(),
        ]
        .map(|file| self.path(&file).display().to_string());
        format!("cert_file: \"{certificate}\", key_file: \"{key}\", ca_file: \"{ca}\"")
    }

    fn authority(&self, name: &str) {
        self.openssl(&format!(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN={name} -keyout {name}.key -out {name}.pem"
        ));
    }

    fn certificate(&self, name: &str, ca: &str, names: &str) {
        self.issue(name, ca, &format!("subjectAltName={names}"));
    }

    /// Makes a certificate `name` by the key of `ca`, with these lines of extensions.
    pub fn issue(&self, name: &str, ca: &str, extensions: &str) {
        fs::write(self.path("extensions"), extensions).expect("write the extensions");
        self.openssl(&format!(
            "req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN={name} -keyout {name}.key -out {name}.csr"
        ));
        self.openssl(&format!(
            "x509 -req -in {name}.csr -CA {ca}.pem -CAkey {ca}.key -CAcreateserial -days 2 -extfile extensions -out {name}.pem"
        ));
    }

    fn openssl(&self, arguments: &str) {
        let done = Command::new("openssl")
            .args(arguments.split(' '))
            .current_dir(self.0.path())
            .output()
            .expect(NOT_INSTALLED);
        let errors = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "openssl {arguments}: {errors}");
    }
}
