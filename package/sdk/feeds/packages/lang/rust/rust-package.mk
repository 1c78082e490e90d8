# The program was built by package/cross.sh.
RUST_ARCH_DEPENDS:=
define RustBinPackage
endef
