'use strict';
'require baseclass';

/* Ports that strangers try, by the name of what they look for there. */
const names = {
	19: 'chargen', 21: 'FTP', 22: 'SSH', 23: 'telnet', 25: 'SMTP', 53: 'DNS', 69: 'TFTP', 80: 'HTTP', 81: 'HTTP', 110: 'POP3', 111: 'portmapper', 123: 'NTP',
	135: 'Windows RPC', 137: 'NetBIOS', 138: 'NetBIOS', 139: 'NetBIOS', 143: 'IMAP', 161: 'SNMP', 389: 'LDAP', 443: 'HTTPS', 445: 'SMB', 465: 'SMTP',
	500: 'IPsec', 554: 'RTSP', 587: 'SMTP', 631: 'IPP', 873: 'rsync', 993: 'IMAPS', 995: 'POP3S', 1080: 'SOCKS', 1194: 'OpenVPN', 1433: 'SQL Server',
	1434: 'SQL Server', 1521: 'Oracle', 1701: 'L2TP', 1723: 'PPTP', 1883: 'MQTT', 1900: 'SSDP', 2049: 'NFS', 2222: 'SSH', 2323: 'telnet', 2375: 'Docker',
	2376: 'Docker', 3128: 'HTTP proxy', 3306: 'MySQL', 3389: 'RDP', 3478: 'STUN', 3702: 'WS-Discovery', 4500: 'IPsec', 5060: 'SIP', 5061: 'SIP',
	5353: 'mDNS', 5432: 'PostgreSQL', 5555: 'Android ADB', 5683: 'CoAP', 5900: 'VNC', 5901: 'VNC', 5985: 'WinRM', 6379: 'Redis', 6881: 'BitTorrent',
	7547: 'TR-069', 8000: 'HTTP', 8080: 'HTTP', 8081: 'HTTP', 8291: 'WinBox', 8443: 'HTTPS', 8728: 'RouterOS', 8888: 'HTTP', 9100: 'JetDirect',
	9200: 'Elasticsearch', 11211: 'memcached', 27017: 'MongoDB', 51820: 'WireGuard'
};
const messages = { 8: 'ping', 128: 'ping' };

return baseclass.extend({
	/* What a port is known for, or nothing. Of ICMP the port is the type of message. */
	name(protocol, port) {
		if (String(protocol).indexOf('icmp') == 0)
			return messages[port] || '';

		return (protocol == 'tcp' || protocol == 'udp') && names[port] || '';
	},

	/* In words: TCP 23 (telnet), ICMP 8 (ping), GRE, IP 99 (a protocol by its number). */
	label(protocol, port) {
		const name = this.name(protocol, port);

		if (protocol == 'other')
			return _('other ports');

		return (/^[0-9]+$/.test(protocol) ? 'IP ' : '') + String(protocol).toUpperCase() + (port ? ' %d'.format(port) : '') + (name ? ' (%s)'.format(name) : '');
	}
});
