'use strict';
'require baseclass';

/* The daemon says what is wrong in English. Here its messages stand once more, each as it is in the source file named above it,
 * with %s for what varies: once as they are, to find the message, and once in the page's language. A message without a line
 * here is shown as it came. (tests/said.rs compares with the sources.) */
const messages = _ => [
	/* config/options.rs */
	_('a switch, 0 or 1'),
	_('one of %s'),
	_('a number of seconds'),
	_('a number of addresses'),
	_('a number of bytes'),
	_('a number of days'),
	_('a duration with its unit (s, m, h, d, w)'),
	_('a time of day, HH:MM'),
	_('a day of the week'),
	_('a mark with exactly one bit'),
	_('a port'),
	_('a port or a range of ports'),
	_("a profile's name (small letters, digits, '-')"),
	_('an IPv4, IPv6 or MAC address'),
	_('an IPv4 or IPv6 address'),
	_('an IPv4 or IPv6 network'),
	_("a firewall zone's name"),
	_('the name of a gate'),
	_('a TCP service, tcp:PORT or tcp:PORT>ADDRESS:PORT'),
	_('a step, tcp:PORT or udp:PORT'),
	_('an absolute path'),
	_("a host's name or address"),
	_('a target, HOST:PORT'),
	_('a login name'),
	_('a public host key, its type and its base64'),
	/* config/read.rs */
	_("is not in UCI's syntax: %s"),
	_("'%s' is not a type of section; did you mean '%s'?"),
	_("'%s' is not a type of section; there are %s"),
	_('is one section of type %s too many: there must be at most %s'),
	_('stands twice: every section must have a name of its own'),
	_("is a second section of type %s: there must be one, config %s '%s'"),
	_("must be named as its type: config %s '%s'"),
	_("has the name of the section %s: choose another, such as '%s'"),
	_("needs a name: config %s 'NAME'"),
	_('has too long a name: at most 32 letters'),
	_("has no effect without level 'custom': set that, or remove the ports"),
	_("is missing: level 'custom' needs its ports (such as %s)"),
	_('leaves no port to drop: it must leave some, or switch lan_only off'),
	_('is the same as start, which is always: it must differ (such as start %s, stop %s), or leave both out'),
	_("'%s' is not the name of a gate; %s"),
	_("did you mean '%s'?"),
	_("there is none; add config gate '%s'"),
	_('there are %s'),
	_('is missing: with seconds 0 only it closes the gate again (such as tcp:9000)'),
	_('ends with the sequence that opens, and so opens again: take other steps'),
	_('has %s steps: it must have at most %s'),
	_('has the same step twice in a row: put another one between'),
	_("'%s' is less than retry: it must be at least %s"),
	_("'%s' is less than seconds: it must be at least %s"),
	/* config/sections.rs */
	_('has %s more problems: put these right first'),
	_('is a list of %s values: it must be one (such as %s)'),
	_('is empty: it must be %s (such as %s)'),
	_('has %s values: it must have at most %s'),
	_("is not an option of %s; did you mean '%s'?"),
	_('is not an option of %s; it has %s'),
	_('is missing: it must be %s (such as %s)'),
	_("'%s' is not %s (such as %s)"),
	/* config/value.rs */
	_('is out of range: the number of seconds must be %s to %s'),
	_('is out of range: the number of addresses must be %s to %s'),
	_('is out of range: the number of bytes must be %s to %s'),
	_('is out of range: the number of days must be %s to %s'),
	_('ends before it begins: write %s'),
	_('has %s bits set: a mark has exactly one, such as %s'),
	_('is out of range: it must be %s to %s, such as 1d'),
	_('is no time of day: the latest is %s'),
	_("is no host's MAC: name one host, such as %s"),
	_('would be every address: switch lan_only off instead'),
	_('has too long a prefix: it must be 1 to %s'),
	_('has host bits set: the network is %s'),
	_('is UDP: a gate guards TCP only, such as tcp:%s'),
	_('is out of range: ports are 1 to 65535'),
	_('has a scope: write %s without it'),
	_('is a name, and names are not resolved: write the address'),
	_('is an IPv4 address in IPv6: write %s'),
	_('is a network: name one host, such as %s'),
	_('%s: name one host by an address of its own'),
	_('is a multicast address'),
	_('is the unspecified address'),
	_('is a loopback address'),
	_('is the broadcast address'),
	_('is link-local, and such packets are never forwarded'),
	_('has an IPv6 address without brackets: write %s'),
	/* uci.rs */
	_('line %s, column %s: %s'),
	_('there is no such section'),
	_("an option's name has only letters, digits and '_'"),
	_('a value must not be empty nor hold a NUL byte'),
	_('the option cannot be written into this text'),
	_('a section of this name and another type stands before'),
	_('too many sections'),
	_('an option or a list stands before the first section'),
	_('too many options'),
	_('too many options in one section'),
	_('the file is too large'),
	_('a NUL byte'),
	_('not a command: package, config, option or list'),
	_("the package's name is missing"),
	_("a package's name has only letters, digits, '_' and '-'"),
	_("the section's type is missing"),
	_("a section's type has only printable ASCII characters"),
	_("a section's name has only letters, digits and '_'"),
	_("the option's name is missing"),
	_('too many arguments (a value with blanks needs quotes)'),
	_('this quote is never closed'),
	/* check.rs */
	_('%s and %s more'),
	/* check/exposure.rs */
	_('There is no IPv6 default route. Every rule holds for IPv6 as well, should one come'),
	_('Routes were not read, so it is not known whether IPv6 is in use. Every rule holds for both families'),
	_('IPv6 is in use and covered: every rule holds for both families'),
	_("%s names the host's IPv4 only; its IPv6 addresses%s are not covered, and IPv6 %s here"),
	_('%s names one IPv6 address of the host only; its IPv4 and its other IPv6 addresses%s are not covered'),
	_('(now %s)'),
	_('is in use'),
	_('may be in use'),
	_("Name it by its MAC instead: list host '%s'"),
	_('Name it by its MAC instead, which covers all its addresses'),
	_('/etc/config/firewall cannot be read, so it is not known whether NAT is full cone'),
	_('NAT is not full cone, as far as the configuration says'),
	_('Full-cone NAT is on (%s): once a host has sent a packet, anybody can answer it. Stock OpenWrt does not have this'),
	_('lan_only.mirror drops such newcomers when their source port is in the range. Switch it off unless a game needs it'),
	_('lan_only.mirror is off, so nothing drops such newcomers. Switch mirror on, or full cone off'),
	_('The profile file cannot be used: %s'),
	_("The profile file cannot be used: 'there is no such file'"),
	_("The profile file cannot be used, so nothing can be said of lanward.lan_only.profile: 'there is no such file'"),
	_('The profile file cannot be used, so nothing can be said of lanward.lan_only.profile: %s'),
	_('lanward.lan_only.level is custom: how tight these ports are was not measured'),
	_('measured, %s of %s outsiders connected'),
	_('not measured'),
	_("Level '%s' (%s): %s. It misses %s. It breaks %s"),
	/* check/gate.rs */
	_('No gate is enabled: ports are as open or shut as the firewall has them'),
	_("Nothing that this router's configuration says lets anybody past: %s"),
	_("fw4 lacks a rule that accepts whom gate '%s' lets in: nobody gets in there. The init script hands it over: /etc/init.d/lanward start, then /etc/init.d/firewall reload. If it is still missing, 'lanward fw4-rules' and 'fw4 check' say why"),
	_('Rules of others may set the mark %s, by which fw4 knows whom a gate lets in: %s'),
	_('Whoever gets it so is let in'),
	_('Rules of others may clear the mark %s, by which fw4 knows whom a gate lets in: %s'),
	_('Then nobody gets in'),
	_('Set lanward.mark to %s, which they leave alone'),
	_('They write every bit: let them write their own only, by a mask'),
	_("UPnP has taken a port of gate '%s': %s. Whoever is listed gets there"),
	_("UPnP leads past gate '%s': %s. Whoever comes there is let in"),
	_('Deny that in /etc/config/upnpd'),
	_("This kernel does not check TCP windows (nf_conntrack_tcp_be_liberal or nf_conntrack_tcp_no_window_check), so that whoever forges addresses can fill the list through witness '%s': set its min_bytes to %s or more"),
	_("witness '%s' asks for min_bytes, and conntrack counts none (net.netfilter.nf_conntrack_acct is 0): it proves nobody"),
	_("spa '%s': its packets are never seen: %s"),
	/* check/router.rs */
	_('%s has no problems'),
	_('%s is not there, or has no section: nothing is restricted, and no gate opens'),
	_('%s. It restricts something, so a reload is refused and what was applied stays'),
	_('The daemon runs'),
	_("The kernel was not asked for table 'inet lanward': that needs root"),
	_("Table 'inet lanward' is in the kernel as it is meant"),
	_("Table 'inet lanward' is not in the kernel: lan_only is on in the configuration and drops nothing. The daemon puts the table back within a second; if it does not, see the log"),
	_("Table 'inet lanward' is not in the kernel. lan_only is off in the configuration; the switch needs the table"),
	_("Table 'inet lanward' is not as it is meant (%s). Somebody else changed it; a reload applies it again"),
	_('The kernel lacks %s: %s'),
	_('install the kernel module of that name'),
	_('install %s'),
	_("conntrack holds %s of %s connections. When it is full the kernel drops whatever is new, before any rule: nobody new gets in, listed or not. 'conntrack -L' shows them, net.netfilter.nf_conntrack_max is how many there may be"),
	_('The kernel has what is needed'),
	_('The kernel was not asked for its tables: that needs root'),
	_('The firewall (fw4) is loaded'),
	_("The firewall (fw4) is installed and its table 'inet fw4' is not in the kernel: nothing filters or translates. Start it: /etc/init.d/firewall start. If that fails, 'fw4 check' says why"),
	_('There is no fw4 on this router. lanward needs the nftables firewall of OpenWrt 22.03 or later; fw3 with iptables is not supported'),
	_('Devices and routes were not read, so it is not known whether a default route leads past the destination zones'),
	_('All zones have devices, and every default route leads through a destination zone'),
	_("%s: '%s' is no zone of /etc/config/firewall; there are %s"),
	_('zone %s has no device, so nothing is dropped there. Give it a network in /etc/config/firewall'),
	_('%s that a rule leads to routing table %s leaves through %s, which is in none of lanward.lan_only.dest_zone: nothing is dropped there'),
	_('lan_only does not touch what these zones send to the internet: %s. List those that it is to keep in as lanward.lan_only.source_zone'),
	_("The firewall forwards whatever no rule takes (firewall.defaults.forward): a device in no zone, such as Docker's, sends what it likes, and lan_only does not touch that"),
	_('%s leaves through %s, which is in none of lanward.lan_only.dest_zone: nothing is dropped there'),
	_("If it leads to the internet: list dest_zone '%s'"),
	_('It is in no zone of /etc/config/firewall'),
	_("The kernel was not asked for other tables' chains: that needs root"),
	_("Chains of others stand before lanward's at hook forward: %s. What they accept is still judged here; what they drop is not counted here; a flow that they offload never comes here"),
	_("A transparent proxy seems to take packets at hook prerouting: %s. What it takes goes out as the router's own traffic, which lan_only does not touch. Exclude UDP or the hosts there"),
	_('No table of others stands in the way'),
	_('/etc/config/firewall cannot be read, so it is not known whether flows are offloaded'),
	_('Flow offload is off'),
	_('Flow offload'),
	_('Hardware flow offload'),
	_('%s is on (firewall.defaults.flow_offloading). A flow that lan_only drops is dropped before it can be offloaded. A flow that was offloaded while lan_only did not hold passes by all rules until its conntrack entry is deleted; the daemon does that when lan_only is switched on and when a pause or the off hours end'),
	_("The router's clock shows a time before this program was made, so it has not been set yet"),
	_('Until it is, lan_only holds at all hours, whatever weekdays, start and stop say. See to NTP (system.ntp)'),
	_('Until it is, authenticated packets are refused as made too early. See to NTP (system.ntp)'),
	_('Nothing that is configured depends on it. See to NTP (system.ntp)'),
	_('The time zone (system.@system[0].timezone) cannot be read: %s'),
	_('lan_only.start and stop are taken as UTC'),
	_('The clock is set'),
	/* check/ways_in.rs */
	_('miniupnpd runs'),
	_('miniupnpd is switched on (upnpd.config.enabled)'),
	_('%s: programs in the home can open ports to the internet by themselves. %s. Deny the hosts in /etc/config/upnpd, or switch it off'),
	_('lan_only.mirror still drops new UDP from outside whose source port is in the range; TCP and other UDP come in'),
	_('lan_only.mirror is off, so nothing stops what comes in that way'),
	_('Ports that UPnP has opened to hosts that lan_only covers: %s'),
	_('Not known whether programs in the home can open ports by UPnP; not readable: %s'),
	_("%s lines of UPnP's lease file were not understood"),
	_('No program in the home can open ports by UPnP'),
	_('TCP %s to %s port %s'),
	_('UDP %s to %s port %s'),
	_('/etc/config/firewall cannot be read, so its port forwards are not known'),
	_("No port forward leads to a host's remote desktop"),
	_('/etc/config/firewall cannot be read, so its accepting rules are not known'),
	_("No accepting rule leads from outside to a host's remote desktop"),
	_("%s forwards %s from zone '%s' to %s, %s"),
	_("%s accepts %s from zone '%s' to %s, %s"),
	_('%s. lan_only leaves what you configured yourself alone, so this stays reachable from outside: disable the section if you do not mean it'),
	_('port %s'),
	_('ports %s'),
	_('any port'),
	_('any host'),
	_("%s's port"),
	_("that host's MAC is not known now, so it may be one of lan_only.host"),
	/* network.rs, network/*.rs */
	_('no zones; taking lan for the interface lan, wan for the interfaces wan and wan6'),
	_('zone %s has no device'),
	_('is neither 0 nor 1; taken as 1'),
	_('is neither 0 nor 1'),
	_('no name that a zone can have; fw4 skips the section'),
	_('lanward knows zones by their devices and leaves subnets out'),
	_('is negated, which lanward does not follow'),
	_('there is no interface %s'),
	_('interface %s has no device yet'),
	_('means every device, which lanward does not follow'),
	_('is no device name'),
	_('further warnings left out'),
	_('its answer has no list of interfaces'),
	_('no configuration; an interface that is down has no device'),
	_('an interface without a name'),
	_('interface %s: %s is no device name'),
	_('%s; no exception is made for it'),
	_('more than %s UDP redirects; no exception is made for the rest'),
	_('is no target'),
	_('there is no zone %s'),
	_('not set'),
	_('more than one value'),
	_('without ports and hosts the rule opens everything'),
	_('is negated'),
	_('is no port or range of ports'),
	_('no prefix is known for %s'),
	_('is no address or network that lanward follows'),
	/* policy.rs, policy/gates.rs */
	_('lan_only.host names addresses: what else the same hosts have, IPv6 beside IPv4 or temporary IPv6 addresses, goes on unless it is named, too; a MAC address covers all of a host'),
	_("time zone '%s': %s; the schedule cannot be placed, LAN-only holds at all hours"),
	_("'%s' is not a zone of /etc/config/firewall (%s)"),
	_("zone '%s' (%s) has no device: nothing to stop there until it has one"),
	_('all but %s'),
	_("%s is guarded by the gate '%s' already"),
	_("gate '%s': the firewall's '%s' lets in at tcp %s whoever is not listed; the gate refuses them while its table is there, and without the table nothing does: take it out"),
	_("gate '%s': the firewall's 'forward of defaults' lets in at tcp %s whoever is not listed; the gate refuses them while its table is there, and without the table nothing does: take it out"),
	_("gate '%s': the firewall's 'input of zone %s' lets in at tcp %s whoever is not listed; the gate refuses them while its table is there, and without the table nothing does: take it out"),
	_("gate '%s': nothing redirects over IPv6: the service is at %s, not at the router's port %s"),
	_("gate '%s': no witness, knock or spa names it: addresses are listed by hand only"),
	_("gate '%s': only a knock opens it, which is obscurity and no proof: whoever sees it once, or guesses it, gets as far as the service's own login. Add an SPA key or a witness, or say with knock_alone '1' that this is meant"),
	_("knock '%s': a scan that tries port after port opens it: take ports that are not next to each other"),
	_("knock '%s': the end of a session closes the gate '%s' before the sequence does: with forget 'never' it stays open until then"),
	/* profiles.rs, report.rs */
	_("there is no profile '%s'; there are %s"),
	_("'%s' is not a profile (%s)"),
	_('%s: no level stops anything of it. %s'),
	_('%s: what custom ports stop of it is not known. %s'),
	_("%s: level '%s' is %s against it, '%s' is %s. %s"),
	_("%s: %s at level '%s', and no level does more. %s"),
	_('partial'),
	_('direct-only'),
	_('direct-and-known-relay'),
	_('nearly-complete'),
	_('complete-default-ports'),
	_('running flows cannot be read: %s'),
	/* schedule.rs, system/clock.rs */
	_('the clock says %s seconds since 1970, which is no time'),
	_('no local time at %s: %s'),
	_("'%s' is not a POSIX time zone (such as %s): %s"),
	_('unexpected characters'),
	_('%s cannot be read'),
	/* gate.rs, state/gates.rs */
	_('is not an IPv4 or IPv6 address (names are not looked up)'),
	_('is a network; the gate lists single addresses'),
	_('is no address that a connection from the WAN can have'),
	_('is link-local: its /64 is every neighbour on the WAN'),
	_("cannot be listed: the gate '%s' guards nothing over %s"),
	_("the gate '%s' is not enabled"),
	_("the gate '%s' is shut: its configuration is wrong (see status)"),
	_('%s is not between %s and %s'),
	_("'%s' is an address on this side of the WAN, which no gate ever refuses, and no VPN peer of this router is known by it: give the address as it is seen from the WAN"),
	_("%s is not listed at the gate '%s'"),
	_("the list of the gate '%s' is full (%s addresses)"),
	_('the list could not be changed: %s'),
	/* state.rs, state/*.rs */
	_('no answer; devices are those that /etc/config/network lets expect'),
	_('nobody tells who comes and goes at the gates: %s'),
	_('cannot be read: %s'),
	_('the file is not there any more'),
	_('the file has no section any more'),
	_('there is no such file'),
	_('the table could not be applied: %s'),
	_('the table cannot be looked at: %s'),
	_("the kernel's table cannot be read: %s"),
	_('the kernel made something else of it: %s'),
	_('it was removed at once'),
	_('LAN-only is off: there is nothing to pause'),
	_('running flows could not be ended: %s'),
	_('there is no policy yet that could end anything'),
	_('the switch holds until the router restarts; it could not be saved: %s'),
	_('the switch holds until lanward starts again; the note about it could not be written: %s'),
	_('pause: %s'),
	_("its section lan_only has no name: config lan_only 'lan_only'"),
	_('it is not there, or has no section: one that says only this would let go of what else it said'),
	_('%s: %s; it opens nothing'),
	_('revoked'),
	_("'%s' is no name for a key: 1 to 32 letters (a-z), digits or '_'"),
	_('host and access: letters, digits and .:/,_-[] only, such as router.example.net and tcp/22'),
	/* ledger/*.rs, report/ledger.rs, state/ledger.rs */
	_('%s, where %s is usual around that day, and a distance of %s from it'),
	_('%s bytes of it are damaged; the other days are kept'),
	_('a newer program wrote it'),
	_('it is no ledger'),
	_('%s; it is kept as %s'),
	_('the file cannot be read, and is not written over: %s'),
	_('the file is not written over, and cannot be set aside: %s'),
	_('the file cannot be written: %s'),
	_('not everything could be removed: %s'),
	_('hours are not kept by port: ask by day, or for one address'),
	_('days are kept by port or by address, not by both: ask by source'),
	_('addresses are kept for 31 days only: ask by day, hour or source'),
	/* keygen.rs, spa/keys.rs */
	_("'%s' is neither a host's name nor an address"),
	_("'%s' is no port to ask for (such as tcp/22)"),
	_('too many ports for one packet'),
	_("line %s: %s has %s bytes, more than fwknop's %s"),
	_('line %s: %s'),
	_('a second key of that kind'),
	_('no line KEY_BASE64'),
	_('no line HMAC_KEY_BASE64: a packet without HMAC is never accepted'),
	_('the HMAC key has %s bytes; with fewer than %s it can be guessed'),
	_('the two keys are the same'),
	_('neither KEY_BASE64 nor HMAC_KEY_BASE64 (nor KEY, HMAC_KEY)'),
	_('fwknop understands no key with a space, ; or # in it: use the form with _BASE64'),
	_('no key'),
	_('the key is not base64, or too long'),
	/* system/keys.rs */
	_("there is no such file: '%s' makes one"),
	_("%s: it has to belong to %s: chown %s '%s'"),
	_('a symbolic link: put the key file itself there'),
	_("belongs to user %s, who could read and change it: chown %s '%s'"),
	_("others than its owner have rights to it (mode %s): chmod 600 '%s'"),
	_('has a second name (a hard link): put a copy there'),
	_('larger than %s bytes: this is no key file'),
	_("'%s' cannot be a key's name: 1 to %s letters, digits and '_' (such as laptop)"),
	_('%s: is there already, and a key is never overwritten: remove it first, or take another name'),
	_('%s: there is no such directory'),
	_('not a NAME.key in %s: remove it by hand'),
	_('the kernel gives no random bytes: %s'),
	/* relay.rs, relay/*.rs, state/relays.rs */
	_('the relay has not let us through'),
	_('the client has ended: %s'),
	_("port %s on the relay is taken by another program, or not allowed to this account (%s)"),
	_("port %s on the relay is taken or not allowed, perhaps still held by the previous session, and the account runs no script that could end it: install 'lanward relay script %s' there, or set %s on the server (%s)"),
	_('port %s on the relay is taken or not allowed: relay %s comes to the same account with the same key, and the first line for a key holds there: give each a key of its own (%s)'),
	_('port %s on the relay is taken or not allowed, perhaps still held by the previous session, which the script there could not note (%s): set %s on the server (%s)'),
	_('what is left of the previous session on the relay cannot be ended (%s): set %s on the server'),
	_('ClientAliveInterval 15 and ClientAliveCountMax 3 in sshd_config (dropbear: -K 15)'),
	_("the relay's host key is not confirmed yet: %s (%s); compare it with the one on the relay, and set it as host_key"),
	_('the relay has shown no host key'),
	_('another program listens on port %s of the relay: who connects there does not reach the target'),
	_('the line is cut: the relay has acknowledged nothing for a while'),
	_("the account on the relay may not open 127.0.0.1:%s, so that nothing can be checked: allow it with permitopen, as 'lanward relay script %s' says"),
	_('nothing listens on port %s of the relay any more'),
	_("the relay opens no connection to its port %s for our checks: nothing listens there, or the account may not have it (permitopen, as 'lanward relay script %s' says)"),
	_('the client does not listen for our checks'),
	_("the target's answer does not come back through the tunnel"),
	_('the relay is frozen: its system acknowledges, its SSH server answers nothing'),
	_('the target %s is down: it %s'),
	_('accepts connections and says nothing'),
	_('closes connections without a greeting'),
	_('does not greet as it should: %s'),
	_('refuses connections'),
	_('says much, but never what it is'),
	_('does not answer as %s does'),
	_('speaks an SSH that nobody uses any more'),
	_('ALARM: the relay shows another host key than the pinned one: somebody may be in between, or it was installed anew. Nothing is sent to it until that is settled'),
	_("the relay has shown no key of the pinned one's type (%s)"),
	_("the relay has shown no key of the pinned one's type; dropbear's client asks for its ssh-ed25519 key first: compare that one and pin it (%s)"),
	_('it has shut this router out after too many connections without a login, which are our checks: switch its blacklist off (TigerVNC: -UseBlacklist=0)'),
	_('it was ended before'),
	_('too many wait for a check already'),
	_("the relay does not take our key for the account %s: 'lanward relay script %s' prints the line for its authorized_keys (%s)"),
	_('the client cannot use the key %s: %s'),
	_('the client does not understand what it is told: %s'),
	_('the name %s is not known now: %s'),
	_('nobody listens on port %s of %s: %s'),
	_('cannot be reached: %s'),
	_('%s cannot be reached: %s'),
	_('the relay has gone silent: %s'),
	_('the relay has closed the connection: %s'),
	_('client and relay have no cryptography in common: %s'),
	_('is only a fingerprint: the whole key is needed, as in known_hosts'),
	_('does not begin with a known type, such as ssh-ed25519'),
	_('has nothing behind its type'),
	_('is too long'),
	_('is not base64 behind its type'),
	_('is of another type than it says, or cut off'),
	_('is cut off'),
	_('is empty'),
	_('has a part of the wrong length'),
	_('has something behind its end'),
	_('is too large for a key'),
	_("is PuTTY's: export it as an OpenSSH key"),
	_('holds a public key: the private one is needed'),
	_("is no private key, neither OpenSSH's nor dropbear's"),
	_('is damaged: it begins as an OpenSSH key, but is none'),
	_('has a passphrase: nobody is there to type it, so a key without one is needed'),
	_('holds something else than a private key'),
	_("process %s (%s) is not this account's: it is not permitted to end it"),
	_('no file can be made in the home directory'),
	_('this was not started by an SSH server'),
	_('process %s (%s) does not end'),
	_("it is not switched on: set enabled '1' in its section"),
	_('it is not up'),
	/* check/relays.rs */
	_('No relay is switched on: nothing leads in through one'),
	_('%s is reachable from outside through relay %s: %s'),
	_('%s (port %s there)'),
	_("%s is reachable through relay %s by everybody, without the relay's login: the port answers at %s from outside. Set GatewayPorts no on the server"),
	_("Relays %s and %s come to one account with one key, and an SSH server takes the first line of authorized_keys for a key: the second would get the first one's port. Give each a key of its own: option key '/etc/lanward/NAME'"),
	_('%s will be reachable from outside through relay %s, which is being started'),
	_('Relay %s is not up, and is tried again'),
	_('Relay %s has failed and waits for somebody'),
	/* system/relays/*.rs */
	_('no SSH client on this router: install dropbear or openssh-client'),
	_("OpenSSH's client is not on this router: install openssh-client"),
	_("dropbear's client is not on this router: install dropbear"),
	_("dropbear's client cannot lead to an IPv6 address (%s): write a name for it, or install openssh-client"),
	_('%s: keys are made in %s only: make this one by hand'),
	_('nothing on this router can make a key: install dropbear, or openssh-keygen'),
	_("an OpenSSH key that is not ed25519, which dropbear's client does not read: put it aside and make another with 'lanward relay keygen NAME'"),
	_("a dropbear key that is not ed25519, which OpenSSH's client does not read: put it aside and make another with 'lanward relay keygen NAME'"),
	_('its public part is not shown: it is not an ed25519 key'),
	_('no answer'),
	/* system/clock.rs */
	_('%s is no time zone'),
	_('run directory'),
	_('a port of our own'),
	_('unknown status'),
	/* nft/netlink/present.rs */
	_('table has flags %s'),
	_('counter "%s" is missing'),
	_('object "%s" is not ours'),
	_('set "%s" is missing'),
	_('set "%s" is not ours'),
	_('chain "%s" is missing'),
	_('chain "%s" is not ours'),
	_('set "%s" is of another type'),
	_('set "%s" has another size or timeout'),
	_('set "%s": %s elements are missing, %s are not ours'),
	_('chain "%s" has another hook or priority'),
	_('chain "%s" has another policy'),
	_('chain "%s" has %s rules instead of %s'),
	_('chain "%s", rule %s is another'),
	/* system/*.rs */
	_('no netlink socket: %s'),
	_('request not sent: %s'),
	_('no answer: %s'),
	_('the kernel module %s is missing'),
	_('refused: %s'),
	_("the kernel's answer does not parse"),
	_('cannot %s: %s'),
	_('the kernel does not answer'),
	_("the kernel's answer is broken"),
	_('the ruleset changes faster than it can be read'),
	_('the kernel refuses %s: %s'),
	_('the transaction'),
	_('open a netlink socket'),
	_('bind a netlink socket'),
	_("bound a netlink socket's buffer"),
	_("ask for the kernel's messages"),
	_('ask for short answers'),
	_('set a time limit'),
	_('send to nf_tables'),
	_('receive from nf_tables'),
	_('send to the kernel'),
	_('receive from the kernel'),
	_('another program has group %s (its netlink port is in /proc/net/netfilter/nfnetlink_log)'),
	_('not without CAP_NET_ADMIN'),
	_('not a file'),
	_('larger than %s bytes')
];

/* How messages stand side by side. Such a line counts where one of its parts is known; that which leaves least as it is, counts. */
const joints = _ => [
	_("'%s' %s"),
	_('%s. %s'),
	_('%s; %s'),
	_('%s: %s'),
	_('%s, %s'),
	_('%s (%s)')
];

/* And how one ends; no message above has its stop. */
const stop = _ => [
	_('%s.')
];

/* How values are marked as such where a message has no marks for them. */
const marks = _ => [
	_("'%s', '%s'")
];

/* More than any message needs; a text from outside cannot keep the page busy. */
const MOST_TRIES = 200;
const MOST_PLACES = 12;
const LONGEST = 4096;

const pattern = (said, translated) => {
	const parts = said.split('%s');
	const spoken = translated.split('%s');

	return { parts: parts, spoken: (spoken.length == parts.length) ? spoken : parts };
};
const pair = table => {
	const spoken = table(_);

	return table(text => text).map((said, at) => pattern(said, spoken[at]));
};
const weight = one => one.parts.join('').length;

const exact = new Map();
let known = [];
let joining = [];
let stopping = null;
let marking = null;

/* Read at the first message: the catalogue is there by then. The longest first: the one that says most. */
const prepare = () => {
	if (known.length)
		return;

	known = pair(messages).sort((a, b) => weight(b) - weight(a));
	joining = pair(joints);
	stopping = pair(stop)[0];
	marking = pair(marks)[0].spoken;
};

/* What stands for each %s, or null. The first middle part is looked for from `from` on. */
const match = (parts, text, from) => {
	const last = parts.length - 1;
	const values = [];
	let at = parts[0].length;

	if (!text.startsWith(parts[0]) || !text.endsWith(parts[last]))
		return null;
	if (last == 0)
		return (text.length == at) ? values : null;

	for (let i = 1; i <= last; i++) {
		const end = (i == last) ? text.length - parts[i].length : text.indexOf(parts[i], Math.max(at, (i == 1 && from) || 0));

		if (end < at)
			return null;

		const value = text.substring(at, end);

		/* Names of chains and sets have none. */
		if (parts[i - 1].endsWith('"') && value.indexOf('"') >= 0)
			return null;

		values.push(value);
		at = end + parts[i].length;
	}

	return values;
};

/* A value in quotes is somebody's own and stays; the rest may hold messages. */
const inside = (parts, i) => [ "'", '"' ].some(quote => parts[i].endsWith(quote) && parts[i + 1].startsWith(quote));

/* Values in the daemon's quotes, one or several, in the page's. */
const marked = value => {
	const names = value.slice(1, -1).split("', '");

	return (value == "'" + names.join("', '") + "'" && names.every(name => name.indexOf("'") < 0))
		? marking[0] + names.join(marking[1]) + marking[2]
		: value;
};

/* Whether a text can be parted at a place: neither in quotes nor in brackets. An apostrophe is no quote. */
const partsAt = (text, at) => {
	let quoted = false;
	let depth = 0;

	for (let i = 0; i < at; i++) {
		const next = text.charAt(i + 1);

		switch (text.charAt(i)) {
		case "'":
			if (quoted)
				quoted = next != '' && ' .,;:)?'.indexOf(next) < 0;
			else
				quoted = i == 0 || ' ('.indexOf(text.charAt(i - 1)) >= 0;
			break;
		case '(':
			depth += quoted ? 0 : 1;
			break;
		case ')':
			depth -= quoted ? 0 : 1;
			break;
		}
	}

	return !quoted && depth == 0;
};

class Reading {
	constructor() {
		this.left = MOST_TRIES;
		this.done = new Map();
	}

	/* The text in the page's language, and how much of it stayed as it is; null where nothing of it is known. */
	read(text) {
		if (exact.has(text))
			return { text: exact.get(text), stayed: 0 };
		if (!this.done.has(text)) {
			this.done.set(text, null);
			this.done.set(text, (this.left-- > 0) ? this.search(text) : null);
		}

		return this.done.get(text);
	}

	search(text) {
		let best = null;
		let whole = null;

		if (text.endsWith('.')) {
			const said = this.put(stopping, [ text.substring(0, text.length - 1) ]);

			if (said.found)
				return said;
		}

		for (let one of known) {
			const values = match(one.parts, text);

			if (values) {
				whole = this.put(one, values);

				/* A message within one sentence; the next sentence is none of its values. */
				if (values.some(value => value.indexOf('. ') > 0))
					break;

				return whole;
			}
		}

		for (let one of joining) {
			let values = match(one.parts, text);

			for (let place = 0; values && place < MOST_PLACES && this.left > 0; place++) {
				const begin = one.parts[0].length;
				const end = begin + values[0].length;
				const said = (begin || partsAt(text, end)) ? this.put(one, values) : null;

				if (said && said.found && (!best || said.stayed < best.stayed))
					best = said;

				values = match(one.parts, text, end + 1);
			}
		}

		return (whole && (!best || whole.stayed < best.stayed)) ? whole : best;
	}

	put(one, values) {
		const all = { text: one.spoken[0], stayed: 0, found: false };

		values.forEach((value, i) => {
			const bare = value.trim();
			const own = inside(one.parts, i);
			const said = own ? null : this.read(bare);

			if (said) {
				all.found = true;
				all.stayed += said.stayed;
			}
			else if (!own && bare.indexOf(' ') > 0) {
				all.stayed += bare.length;
			}

			all.text += (said ? this.spaced(value, bare, said.text) : own ? value : marked(value)) + one.spoken[i + 1];
		});

		return all;
	}

	/* Spaces around a part stay with words that need them. */
	spaced(value, bare, said) {
		return said.charCodeAt(0) > 0x2fff ? said : value.split(bare).join(said);
	}
}

return baseclass.extend({
	/* A message of the daemon in the page's language, or as it is. It is text, never markup. */
	translate(text) {
		const said = String(text);

		prepare();

		if (said.length > LONGEST)
			return said;

		const found = new Reading().read(said);

		return found ? found.text : said;
	},

	/* Takes in the texts of the profiles, which come in all languages: the daemon's messages quote the English ones. */
	learn(profiles, language) {
		const visit = value => {
			if (value == null || typeof(value) != 'object')
				return;
			if (typeof(value.en) == 'string' && typeof(value[language]) == 'string') {
				exact.set(value.en, value[language]);
				exact.set(value.en.replace(/\.$/, ''), value[language].replace(/。$/, ''));
			}

			Object.keys(value).forEach(name => visit(value[name]));
		};

		visit(profiles);
	}
});
