//! JWTs of users, and servers that trust them.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use nkeys::KeyPair;
use serde_json::{Value, json};

/// An operator, an account and a user, and what the server and the client must know of them.
pub struct Trust {
    pub config: String,
    pub jwt: String,
    pub seed: String,
}

impl Trust {
    /// `expires` in seconds since 1970, if at all.
    pub fn new(expires: Option<u64>) -> Self {
        let operator = KeyPair::new_operator();
        let account = KeyPair::new_account();
        let user = KeyPair::new_user();
        let of_operator = jwt(&operator, &operator, None, json!({"type": "operator"}));
        let limits = json!({"subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1,
            "wildcards": true, "conn": -1, "leaf": -1});
        let claims = json!({"type": "account", "limits": limits, "default_permissions": {"pub": {}, "sub": {}}});
        let of_account = jwt(&operator, &account, None, claims);
        let claims =
            json!({"type": "user", "pub": {}, "sub": {}, "subs": -1, "data": -1, "payload": -1});
        let config = format!(
            "operator: \"{of_operator}\", resolver: MEMORY, resolver_preload: {{ {}: \"{of_account}\" }}",
            account.public_key()
        );
        Self {
            config,
            jwt: jwt(&account, &user, expires, claims),
            seed: user.seed().unwrap(),
        }
    }

    /// As `nsc` writes it.
    pub fn creds(&self) -> String {
        let Self { jwt, seed, .. } = self;
        format!(
            "-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n\
             ************************* IMPORTANT *************************\n\
             NKEY Seed printed below can be used to sign and prove identity.\n\n\
             -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n\n\
             *************************************************************\n"
        )
    }
}

fn jwt(issuer: &KeyPair, subject: &KeyPair, expires: Option<u64>, mut claims: Value) -> String {
    claims["version"] = json!(2);
    let mut body = json!({"jti": "test", "iat": 1_700_000_000, "iss": issuer.public_key(),
        "sub": subject.public_key(), "name": "test", "nats": claims});
    if let Some(expires) = expires {
        body["exp"] = json!(expires);
    }
    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let head = encode(br#"{"typ":"JWT","alg":"ed25519-nkey"}"#);
    let signed = format!("{head}.{}", encode(body.to_string().as_bytes()));
    let signature = issuer.sign(signed.as_bytes()).unwrap();
    format!("{signed}.{}", encode(&signature))
}
