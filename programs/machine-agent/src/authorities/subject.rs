//! The name by which OpenSSL finds a certificate among files: a hash of its subject, written the one way that all
//! spellings of it share. Pure; whatever a certificate holds, it reads no further.

use sha1::{Digest as _, Sha1};

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const VERSION: u8 = 0xa0;
const UTF8: u8 = 12;
const LATIN: [u8; 4] = [19, 20, 22, 26];
const UNIVERSAL: u8 = 28;
const BMP: u8 = 30;
/// Serial number, algorithm, issuer and time come before the subject.
const BEFORE: usize = 4;

/// The hash of the subject of a certificate, as text. None if it is none.
pub(super) fn hash(text: &str) -> Option<u32> {
    let body: Vec<&str> = text.lines().filter(|line| !line.starts_with("-----")).collect();
    let der = base64(&body.concat())?;
    let (SEQUENCE, certificate, _) = element(&der)? else { return None };
    let (SEQUENCE, mut signed, _) = element(certificate)? else { return None };
    if let (VERSION, _, rest) = element(signed)? {
        signed = rest;
    }
    for _ in 0..BEFORE {
        signed = element(signed)?.2;
    }
    let (SEQUENCE, subject, _) = element(signed)? else { return None };
    let digest = Sha1::digest(canonical(subject)?);
    digest.first_chunk().map(|first| u32::from_le_bytes(*first))
}

/// A kind, its content, and what comes after it.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[kind, first], rest) = bytes.split_first_chunk()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x83 => {
            let (octets, rest) = rest.split_at_checked(usize::from(first - 0x80))?;
            (octets.iter().fold(0, |length, octet| length << 8 | usize::from(*octet)), rest)
        }
        // No certificate is so long.
        0x80 | 0x84..=0xff => return None,
    };
    let (content, after) = rest.split_at_checked(length)?;
    Some((kind, content, after))
}

fn elements(mut bytes: &[u8]) -> Option<Vec<(u8, &[u8])>> {
    let mut all = Vec::new();
    while !bytes.is_empty() {
        let (kind, content, after) = element(bytes)?;
        all.push((kind, content));
        bytes = after;
    }
    Some(all)
}

fn written(kind: u8, content: &[u8]) -> Vec<u8> {
    let octets: Vec<u8> = content.len().to_be_bytes().into_iter().skip_while(|octet| *octet == 0).collect();
    let mut bytes = vec![kind];
    match content.len() {
        0..=0x7f => bytes.push(octets.first().copied().unwrap_or(0)),
        // At most eight octets.
        _ => bytes.push(0x80 | u8::try_from(octets.len()).unwrap_or(0)),
    }
    if content.len() > 0x7f {
        bytes.extend(octets);
    }
    bytes.extend_from_slice(content);
    bytes
}

/// The parts of a name one after the other, each with its texts in UTF-8, small letters and single spaces.
fn canonical(name: &[u8]) -> Option<Vec<u8>> {
    let mut all = Vec::new();
    for (_, part) in elements(name)? {
        let attributes = elements(part)?.into_iter().map(|(_, attribute)| {
            let [(kind, id), (of, value)] = elements(attribute)?[..] else { return None };
            let (of, value) = plain(of, value)?;
            Some(written(SEQUENCE, &[written(kind, id), written(of, &value)].concat()))
        });
        let mut attributes: Vec<Vec<u8>> = attributes.collect::<Option<_>>()?;
        // The order of a set is that of its members' bytes.
        attributes.sort();
        all.extend(written(SET, &attributes.concat()));
    }
    Some(all)
}

fn plain(kind: u8, value: &[u8]) -> Option<(u8, Vec<u8>)> {
    let text: String = match kind {
        UTF8 => String::from_utf8(value.to_vec()).ok()?,
        kind if LATIN.contains(&kind) => value.iter().map(|byte| char::from(*byte)).collect(),
        BMP => wide(value, 2)?,
        UNIVERSAL => wide(value, 4)?,
        other => return Some((other, value.to_vec())),
    };
    let blank = |c: char| matches!(c, ' ' | '\t'..='\r');
    let words: Vec<&str> = text.split(blank).filter(|word| !word.is_empty()).collect();
    Some((UTF8, words.join(" ").to_ascii_lowercase().into_bytes()))
}

fn wide(value: &[u8], width: usize) -> Option<String> {
    let number = |octets: &[u8]| octets.iter().fold(0, |number, octet| number << 8 | u32::from(*octet));
    let whole = value.len().is_multiple_of(width);
    value.chunks(width).map(|octets| char::from_u32(number(octets)).filter(|_| whole)).collect()
}

fn base64(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=').bytes().map(|byte| match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    });
    let digits: Vec<u8> = digits.collect::<Option<_>>()?;
    let group = |four: &[u8]| {
        let number = four.iter().fold(0_u32, |number, digit| number << 6 | u32::from(*digit));
        let [_, bytes @ ..] = (number << (6 * (4 - four.len()))).to_be_bytes();
        bytes.into_iter().take(four.len() * 6 / 8)
    };
    Some(digits.chunks(4).flat_map(group).collect())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) const PLAIN_HASH: u32 = 0x3826_ed78;
    pub(crate) const ODD_HASH: u32 = 0xa5e1_a3bf;
    pub(crate) const PLAIN: &str = "-----BEGIN CERTIFICATE-----
MIIBdjCCAR2gAwIBAgIUBE+/yoLUKtN89QFe8ZG/KVYf67kwCgYIKoZIzj0EAwIw
EDEOMAwGA1UEAwwFcGxhaW4wIBcNMjYxMTIyMDcyMjU0WhgPMjEyNjEwMjkwNzIy
NTRaMBAxDjAMBgNVBAMMBXBsYWluMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE
WHce8pvUgMyhoee6ZgxjlI8rdPrcaZmhYuJOEfRkccxsCPhgkkJEU0LtN/396Ivu
6ELm76xSdY1qeE3ZHYX4MaNTMFEwHQYDVR0OBBYEFP2URPRXV9uFYceRFQX0qUf1
zokoMB8GA1UdIwQYMBaAFP2URPRXV9uFYceRFQX0qUf1zokoMA8GA1UdEwEB/wQF
MAMBAf8wCgYIKoZIzj0EAwIDRwAwRAIgdSoacoH1prD1lkhAommF4yR6t4v58+Wc
NOl2BzAXHO8CIGIOXvjJ+Rdn9rDDgQoA6nu+q7hhV5qakYEaafCXOayQ
-----END CERTIFICATE-----
";
    /// Letters that are not ASCII, spaces, two attributes in one part.
    pub(crate) const ODD: &str = "-----BEGIN CERTIFICATE-----
MIICHDCCAcECFBsUEI2tOFIFGR9cQI/KDwZsdTgFMAoGCCqGSM49BAMCMIGOMQsw
CQYDVQQGEwJERTEfMB0GA1UEChQWICBHcvbfZSAgIHVuZCAgIE1BU1MgIDEjMA4G
A1UECxMHQW5vdGhlcjARBgNVBAsTClR3byAgV29yZHMxIDAeBgkqhkiG9w0BCQEW
EVJvb3RARXhhbXBsZS5URVNUMRcwFQYDVQQDEw5UaGUgIEhvc3QncyBDQTAgFw0y
NjExMjIwNzIzMjJaGA8yMTI2MTAyOTA3MjMyMlowgY4xCzAJBgNVBAYTAkRFMR8w
HQYDVQQKFBYgIEdy9t9lICAgdW5kICAgTUFTUyAgMSMwDgYDVQQLEwdBbm90aGVy
MBEGA1UECxMKVHdvICBXb3JkczEgMB4GCSqGSIb3DQEJARYRUm9vdEBFeGFtcGxl
LlRFU1QxFzAVBgNVBAMTDlRoZSAgSG9zdCdzIENBMFkwEwYHKoZIzj0CAQYIKoZI
zj0DAQcDQgAEWHce8pvUgMyhoee6ZgxjlI8rdPrcaZmhYuJOEfRkccxsCPhgkkJE
U0LtN/396Ivu6ELm76xSdY1qeE3ZHYX4MTAKBggqhkjOPQQDAgNJADBGAiEA5ILS
vA9G1CAoHKBsITswGu/iEeBq8FA7sBO8HW+wM+kCIQCn/IFBlfeNwYiKSMPvmBSF
bDpaYnukYMMMpAeNINdpQA==
-----END CERTIFICATE-----
";

    #[test]
    fn the_hash_is_openssls() {
        assert_eq!(hash(PLAIN), Some(PLAIN_HASH));
        assert_eq!(hash(ODD), Some(ODD_HASH));
    }

    #[test]
    fn whatever_it_holds_a_certificate_is_read_to_its_end_at_most() {
        for cut in 0..ODD.len() {
            hash(&ODD[..cut]);
            hash(&[&ODD[..cut], "/", ODD.get(cut + 1..).unwrap_or_default()].concat());
        }
        assert_eq!(hash(""), None);
    }
}
