# BuildPackage: what the packages' Makefiles define becomes STAGE/PACKAGE/data and STAGE/PACKAGE/control.

# Where a compiled package would be. Our source is not copied to be packed.
PKG_BUILD_DIR:=$(LANWARD_SOURCE)
PKG_INSTALL_DIR:=$(STAGE)/.built

define newline


endef
empty:=
space:=$(empty) $(empty)
comma:=,

# The list of DEPENDS as a control file has it: no plus signs, and no conditions on the build.
dependencies=$(subst $(space),$(comma)$(space),$(strip $(patsubst +%,%,$(filter-out @%,$(1)))))
field=$(if $(strip $(2)),$(1): $(strip $(2))$(newline))
define Control
Package: $(1)
Version: $(or $(VERSION),$(PKG_VERSION)-r$(PKG_RELEASE))
$(call field,Depends,$(call dependencies,$(DEPENDS)))$(call field,Source,$(SOURCE))$(call field,SourceName,$(PKG_NAME))$(call field,License,$(PKG_LICENSE))$(call field,LicenseFiles,$(PKG_LICENSE_FILES))$(call field,Section,$(SECTION))$(call field,Require-User,$(USERID))$(call field,SourceDateEpoch,$(SOURCE_DATE_EPOCH))$(call field,URL,$(URL))$(call field,Maintainer,$(or $(MAINTAINER),$(PKG_MAINTAINER)))Architecture: $(or $(PKGARCH),$(ARCH))
Installed-Size: 0
Description: $(strip $(or $(Package/$(1)/description),$(TITLE)))
endef

# What a Makefile may say for one package and not for the next.
PER_PACKAGE:=SECTION CATEGORY SUBMENU TITLE DEPENDS USERID VERSION PKGARCH URL MAINTAINER DEFAULT HIDDEN

define BuildPackage
$(foreach variable,$(PER_PACKAGE),$(eval $(variable):=))
$(eval $(Package/$(1)))
$(eval $(1)_control:=$$(call Control,$(1)))

.PHONY: stage-$(1) clean-$(1)
stage: stage-$(1)
clean-$(1):
	rm -rf '$(STAGE)/$(1)' '$(STAGE)/.built'
	install -d -m0755 '$(STAGE)/$(1)/data' '$(STAGE)/$(1)/control'
	$(if $(PROGRAM),install -D -m0755 '$(PROGRAM)' '$(STAGE)/.built/bin/$(PKG_NAME)')
stage-$(1): clean-$(1)
	$$(file >$(STAGE)/$(1)/control/control,$$($(1)_control))
	$$(if $$(Package/$(1)/conffiles),$$(file >$(STAGE)/$(1)/control/conffiles,$$(subst $$(space),$$(newline),$$(strip $$(Package/$(1)/conffiles)))))
	$$(if $$(Package/$(1)/postinst),$$(file >$(STAGE)/$(1)/control/postinst-pkg,$$(Package/$(1)/postinst)))
	$$(if $$(Package/$(1)/prerm),$$(file >$(STAGE)/$(1)/control/prerm-pkg,$$(Package/$(1)/prerm)))
	$$(call Package/$(1)/install,$(STAGE)/$(1)/data)
endef
