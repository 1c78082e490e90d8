//! A defect, as it would be in the program: what it says, and what `package/defect.py` makes of it, can be seen with this.
//!
//! `package/cross.sh mipsel_24kc build --release --example defect`, and to be run on such a router or by `qemu-mipsel-static`.

fn main() {
    lanward::system::defect::watch();
    let words: Vec<String> = std::env::args().collect();
    println!("{}", words[words.len() + 2]);
}
