//! Public host keys as `ssh-keyscan` prints them: a copy that lost its end or is a private key is
//! refused here, not during an outage.

/// Checks a public host key and brings it into the form `type base64`.
///
/// # Errors
/// What is wrong with it.
pub(super) fn host_key(text: &str) -> Result<String, String> {
    // No ssh-rsa: the Rust implementation leaks its key by timing (RUSTSEC-2023-0071), so our
    // client has none, and servers since OpenSSH 5.7 (2011) have another key as well.
    const TYPES: [&str; 4] = [
        "ssh-ed25519",
        "ecdsa-sha2-nistp256",
        "ecdsa-sha2-nistp384",
        "ecdsa-sha2-nistp521",
    ];
    if text.contains("PRIVATE KEY") {
        return Err("it is a PRIVATE key; it must never stand here".to_owned());
    }
    let mut words = text.split_whitespace();
    let (Some(name), Some(body)) = (words.next(), words.next()) else {
        return Err("it needs a type and a base64 part".to_owned());
    };
    if !TYPES.contains(&name) {
        let from_scan = TYPES.contains(&body);
        return Err(if name == "ssh-rsa" || body == "ssh-rsa" {
            "RSA host keys are not used; take the server's ed25519 or ecdsa key".to_owned()
        } else if from_scan {
            "it begins with the host's name; leave that out".to_owned()
        } else {
            format!("the type {name} is not one of {}", TYPES.join(", "))
        });
    }
    let bytes = base64(body).ok_or("the second part is not base64")?;
    // RFC 4253, 6.6: the blob repeats the type as a counted string.
    let Some((length, rest)) = bytes.split_first_chunk::<4>() else {
        return Err("it is cut short".to_owned());
    };
    let inner = usize::try_from(u32::from_be_bytes(*length))
        .ok()
        .and_then(|length| rest.get(..length));
    if inner != Some(name.as_bytes()) {
        return Err(format!("the base64 part is not a key of type {name}"));
    }
    if name == "ssh-ed25519" && bytes.len() != 51 {
        return Err("an ed25519 key has 68 characters; this one is cut short or too long".to_owned());
    }
    Ok(format!("{name} {body}"))
}

/// Strict base64 with padding.
fn base64(text: &str) -> Option<Vec<u8>> {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    if !text.len().is_multiple_of(4) {
        return None;
    }
    let body = text.trim_end_matches('=');
    if text.len() - body.len() > 2 {
        return None;
    }
    let (mut bits, mut have, mut bytes) = (0_u32, 0, Vec::with_capacity(text.len() / 4 * 3));
    for ch in body.bytes() {
        let six = ALPHABET.iter().position(|&letter| letter == ch)?;
        bits = (bits << 6) | u32::try_from(six).ok()?;
        have += 6;
        if have >= 8 {
            have -= 8;
            bytes.push(u8::try_from((bits >> have) & 0xff).ok()?);
        }
    }
    Some(bytes)
}
