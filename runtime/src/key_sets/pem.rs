//! Public keys in PEM (RFC 7468): `SubjectPublicKeyInfo` (RFC 5280, RFC 5480, RFC 8410).

use super::{Algorithm, KeySetError, Material, PublicKey};
use crate::sanitize::list_items;
use rustls_pki_types::pem::{PemObject, SectionKind};
use spki::der::asn1::UintRef;
use spki::der::{Decode, Reader, SliceReader};
use spki::{ObjectIdentifier, SubjectPublicKeyInfoRef};

const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

/// Returns the keys of all sections. `algorithm` is that of RSA keys.
pub(super) fn parse(set: &str, text: &str, algorithm: Option<Algorithm>) -> Result<Vec<PublicKey>, KeySetError> {
    let mut keys = Vec::new();
    for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(text.as_bytes()) {
        let (kind, der) = section.map_err(|_| KeySetError::NotPem)?;
        match kind {
            SectionKind::PublicKey => {}
            SectionKind::PrivateKey | SectionKind::RsaPrivateKey | SectionKind::EcPrivateKey => {
                return Err(KeySetError::NotPublic("private"));
            }
            _ => return Err(KeySetError::NotPem),
        }
        let Some(material) = material(&der) else {
            let why = "its type is not supported: use RSA, P-256, P-384 or Ed25519";
            return Err(KeySetError::NoneUsable(why.to_owned()));
        };
        let algorithm = algorithm.filter(|_| matches!(material, Material::Rsa { .. }));
        let key = PublicKey::new(set, None, algorithm, material);
        keys.push(key.map_err(|why| KeySetError::NoneUsable(list_items(&[why])))?);
    }
    if keys.is_empty() { Err(KeySetError::NotPem) } else { Ok(keys) }
}

/// Returns the numbers of a key, or `None` if its type is not supported or its encoding is wrong.
fn material(der: &[u8]) -> Option<Material> {
    let info = SubjectPublicKeyInfoRef::from_der(der).ok()?;
    let bytes = info.subject_public_key.as_bytes()?;
    if info.algorithm.oid == RSA {
        let mut reader = SliceReader::new(bytes).ok()?;
        let numbers = reader.sequence(|reader| {
            let (n, e) = (UintRef::decode(reader)?, UintRef::decode(reader)?);
            Ok::<_, spki::der::Error>((n.as_bytes().to_vec(), e.as_bytes().to_vec()))
        });
        let (n, e) = numbers.ok()?;
        reader.is_finished().then_some(Material::Rsa { n, e })
    } else if info.algorithm.oid == EC {
        // A compressed point is shorter; no program writes one here.
        match (info.algorithm.parameters_oid().ok()?, bytes) {
            (P256, [4, ..]) if bytes.len() == 65 => Some(Material::P256(bytes.to_vec())),
            (P384, [4, ..]) if bytes.len() == 97 => Some(Material::P384(bytes.to_vec())),
            _ => None,
        }
    } else if info.algorithm.oid == ED25519 {
        Some(Material::Ed25519(bytes.to_vec()))
    } else {
        None
    }
}
