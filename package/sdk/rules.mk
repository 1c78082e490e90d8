# The little of OpenWrt's build system that our packages' Makefiles use, so that package/build.sh need not say again what they say. It stages
# packages; it compiles nothing. Wanted: STAGE, a directory to be made; ARCH, OpenWrt's name; PROGRAM, the program.

INCLUDE_DIR:=$(TOPDIR)/include
INSTALL_DIR:=install -d -m0755
INSTALL_BIN:=install -m0755
INSTALL_DATA:=install -m0644
INSTALL_CONF:=install -m0600
CP:=cp -fpR
SHELL:=/bin/sh

.DEFAULT_GOAL:=stage
.PHONY: stage
