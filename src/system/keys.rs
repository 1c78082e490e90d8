//! Stub.
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

pub fn random() -> std::io::Result<Zeroizing<[u8; 96]>> {
    Ok(Zeroizing::new([0; 96]))
}
pub fn create(_directory: &Path, _name: &str, _text: &[u8]) -> Result<PathBuf, String> {
    Err("stub".into())
}
pub fn remove(_directory: &Path, _name: &str) -> Result<(), String> {
    Err("stub".into())
}
