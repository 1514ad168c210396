//! Looks at a JSON Web Token (RFC 7519) as whoever gives tokens for it does (RFC 7523, section 3), with `openssl`.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use passline::time::{Clock as _, SystemClock};
use serde_json::Value;
use tempfile::TempDir;

fn folder() -> &'static TempDir {
    static FOLDER: OnceLock<TempDir> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a folder");
        openssl(
            &[
                "genpkey",
                "-algorithm",
                "RSA",
                "-pkeyopt",
                "rsa_keygen_bits:2048",
                "-out",
                &path(&folder, "key"),
            ],
            b"",
        );
        openssl(
            &[
                "pkey",
                "-in",
                &path(&folder, "key"),
                "-pubout",
                "-out",
                &path(&folder, "public"),
            ],
            b"",
        );
        folder
    })
}

fn path(folder: &TempDir, name: &str) -> String {
    folder.path().join(name).to_string_lossy().into_owned()
}

fn openssl(arguments: &[&str], input: &[u8]) -> bool {
    let mut child = Command::new("openssl")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("openssl");
    child.stdin.take().expect("a pipe").write_all(input).expect("written");
    child.wait().expect("ended").success()
}

/// The private key, as PEM (PKCS #8).
pub(crate) fn private_key() -> String {
    std::fs::read_to_string(folder().path().join("key")).expect("a key")
}

/// Whether the statement is signed with that key and says who, for whom, and to whom.
pub(crate) fn check(statement: &str, iss: &str, sub: &str, aud: &str) -> Result<(), String> {
    let (signed, signature) = statement.rsplit_once('.').ok_or("no signature")?;
    let (header, claims) = signed.split_once('.').ok_or("no claims")?;
    let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).map_err(|error| error.to_string());
    let parse = |text: &str| serde_json::from_slice::<Value>(&decode(text)?).map_err(|error| error.to_string());
    let (header, claims) = (parse(header)?, parse(claims)?);
    if header != serde_json::json!({"alg": "RS256", "typ": "JWT"}) {
        return Err(format!("the header {header}"));
    }
    let file = folder().path().join(format!("{:x}", digest(statement)));
    std::fs::write(&file, decode(signature)?).map_err(|error| error.to_string())?;
    let public = path(folder(), "public");
    let verified = openssl(
        &[
            "dgst",
            "-sha256",
            "-verify",
            &public,
            "-signature",
            &file.to_string_lossy(),
        ],
        signed.as_bytes(),
    );
    if !verified {
        return Err("the signature is wrong".to_owned());
    }
    let now = SystemClock.now().as_millis() / 1_000;
    let time = |name: &str| claims[name].as_i64().unwrap_or_default();
    let lives = time("iat") <= now && now < time("exp") && time("exp") <= time("iat") + 3_600;
    let says = claims["iss"] == iss && claims["sub"] == sub && claims["aud"] == aud;
    let scope = claims["scope"] == "https://www.googleapis.com/auth/admin.directory.user";
    (lives && says && scope)
        .then_some(())
        .ok_or(format!("the claims {claims}"))
}

/// A name for a file.
fn digest(text: &str) -> u64 {
    use std::hash::{DefaultHasher, Hash as _, Hasher as _};
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}
