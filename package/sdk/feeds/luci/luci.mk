# A page and its catalogues: htdocs is /www, root is /, po/LANGUAGE/NAME.po is a package of its own.

LUCI_NAME?=$(notdir $(CURDIR))
LUCI_BASENAME?=$(patsubst luci-app-%,%,$(LUCI_NAME))
LUCI_LANGUAGES:=$(sort $(filter-out templates,$(notdir $(wildcard $(CURDIR)/po/*))))
LUCI_LANG.ja:=日本語 (Japanese)
PKG_NAME?=$(LUCI_NAME)
LIBRARY:=/usr/lib/lua/luci

include $(INCLUDE_DIR)/package.mk

define Package/$(LUCI_NAME)
  SECTION:=luci
  TITLE:=$(LUCI_TITLE)
  DEPENDS:=$(LUCI_DEPENDS)
  PKGARCH:=all
endef
Package/$(LUCI_NAME)/description=$(LUCI_DESCRIPTION)

# The page is in the menu, and its rights are known, without logging in anew.
define Package/$(LUCI_NAME)/postinst
#!/bin/sh
[ -n "$$IPKG_INSTROOT" ] || {
	rm -f /tmp/luci-indexcache.*
	rm -rf /tmp/luci-modulecache/
	/etc/init.d/rpcd reload 2>/dev/null
	exit 0
}
endef

define Package/$(LUCI_NAME)/install
	install -d -m0755 $(1)/www
	cp -R htdocs/. $(1)/www/
	$(TOPDIR)/../minify.py $(1)/www
	cp -R root/. $(1)/
	chmod -R u=rwX,go=rX $(1)
endef

# 1: language
define LuciTranslation
define Package/luci-i18n-$(LUCI_BASENAME)-$(1)
  SECTION:=luci
  DEPENDS:=$(LUCI_NAME)
  VERSION:=$(PKG_PO_VERSION)
  PKGARCH:=all
endef
Package/luci-i18n-$(LUCI_BASENAME)-$(1)/description:=Translation for $(LUCI_NAME) - $(LUCI_LANG.$(1))
define Package/luci-i18n-$(LUCI_BASENAME)-$(1)/install
	$$(INSTALL_DIR) $$(1)/etc/uci-defaults $$(1)$(LIBRARY)/i18n
	echo "uci set luci.languages.$(1)='$(LUCI_LANG.$(1))'; uci commit luci" >$$(1)/etc/uci-defaults/luci-i18n-$(LUCI_BASENAME)-$(1)
	chmod 0644 $$(1)/etc/uci-defaults/luci-i18n-$(LUCI_BASENAME)-$(1)
	for po in po/$(1)/*.po; do \
		$(TOPDIR)/../po2lmo.py "$$$$po" "$$(1)$(LIBRARY)/i18n/$$$$(basename "$$$$po" .po).$(1).lmo" || exit; \
	done
	chmod 0644 $$(1)$(LIBRARY)/i18n/*
endef
endef

$(foreach language,$(LUCI_LANGUAGES),$(eval $(call LuciTranslation,$(language))))
$(foreach package,$(PKG_NAME) $(patsubst %,luci-i18n-$(LUCI_BASENAME)-%,$(LUCI_LANGUAGES)),$(eval $(call BuildPackage,$(package))))
