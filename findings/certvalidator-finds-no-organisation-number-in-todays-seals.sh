#!/usr/bin/env bash
# Norway's certificate validator finds no organisation number in the certificates of today.
#
# Software:  no.difi.commons:commons-certvalidator 2.2.1 (of 2020, the last on Maven Central), with Java 17;
#            OpenSSL 3.0.
# Behaviour: NorwegianOrganizationNumberRule finds the number of an organisation if the serialNumber of
#            the subject is nine digits, or if the organizationName ends with a hyphen and nine digits. If
#            it is in the organizationIdentifier, as NTRNO-123456785, extractNumber is null, and the rule
#            throws "Organization number not detected." PrincipalNameRule for "2.5.4.97" finds it. By the
#            attribute's name, it throws an IllegalArgumentException.
# Surprise:  A seal's certificate has had the number there since 2021, by the profile SEID 2.0 (as ETSI EN
#            319 412-1 section 5.1.4 and EN 319 412-3 section 4.2.1 have it), and those by SEID 1.0
#            have all expired, in May 2025 by Digdir's time table. The class that is made for
#            Norwegian organisations knows no certificate of theirs that is still valid.
# Needs:     bash, Java 17, Maven, OpenSSL 3.
# Output:    see "want" below.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >pom.xml <<'XML'
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>finding</groupId>
  <artifactId>finding</artifactId>
  <version>0</version>
  <dependencies>
    <dependency>
      <groupId>no.difi.commons</groupId>
      <artifactId>commons-certvalidator</artifactId>
      <version>2.2.1</version>
    </dependency>
  </dependencies>
</project>
XML
mvn -q -B org.apache.maven.plugins:maven-dependency-plugin:3.8.1:build-classpath -Dmdep.outputFile=classpath </dev/null >/dev/null
openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 >key.pem 2>/dev/null
new_certificate() {
	openssl req -x509 -new -utf8 -key key.pem -days 2 -out "$1.pem" -subj "/C=NO/$2/CN=Example AS"
}
new_certificate "SEID 1.0, serialNumber" "O=Example AS/serialNumber=123456785"
new_certificate "SEID 1.0, organizationName" "O=Example AS - 123456785"
new_certificate "SEID 2.0" "organizationIdentifier=NTRNO-123456785/O=Example AS"
cat >Check.java <<'JAVA'
import java.io.FileInputStream;
import java.security.cert.CertificateFactory;
import java.security.cert.X509Certificate;

import no.difi.certvalidator.ValidatorBuilder;
import no.difi.certvalidator.api.*;
import no.difi.certvalidator.extra.NorwegianOrganizationNumberRule;
import no.difi.certvalidator.rule.PrincipalNameRule;

public class Check {
	static String validate(ValidatorRule rule, X509Certificate certificate) {
		try {
			ValidatorBuilder.newInstance().addRule(rule).build().validate(certificate);
			return "valid";
		} catch (CertificateValidationException exception) {
			return exception.getMessage();
		} catch (RuntimeException exception) {
			return exception.toString();
		}
	}

	public static void main(String[] args) throws Exception {
		for (String name : args) {
			X509Certificate certificate;
			try (var file = new FileInputStream(name + ".pem")) {
				certificate = (X509Certificate) CertificateFactory.getInstance("X.509").generateCertificate(file);
			}
			var found = NorwegianOrganizationNumberRule.extractNumber(certificate);
			System.out.println(name + ", extractNumber: " + (found == null ? null : found.getNumber()));
			System.out.println(name + ", rule: " + validate(new NorwegianOrganizationNumberRule("123456785"::equals), certificate));
			for (String field : new String[] { "2.5.4.97", "organizationIdentifier" }) {
				if (name.endsWith("2.0")) {
					System.out.println(name + ", " + field + ": " + validate(new PrincipalNameRule(field, "NTRNO-123456785"::equals), certificate));
				}
			}
		}
	}
}
JAVA
got=$(
	for name in "SEID 1.0, serialNumber" "SEID 1.0, organizationName" "SEID 2.0"; do
		openssl x509 -in "$name.pem" -noout -subject -nameopt sep_comma_plus
	done
	java -XX:TieredStopAtLevel=1 -cp "$(<classpath)" Check.java "SEID 1.0, serialNumber" "SEID 1.0, organizationName" "SEID 2.0" 2>/dev/null
)
want='subject=C=NO,O=Example AS,serialNumber=123456785,CN=Example AS
subject=C=NO,O=Example AS - 123456785,CN=Example AS
subject=C=NO,organizationIdentifier=NTRNO-123456785,O=Example AS,CN=Example AS
SEID 1.0, serialNumber, extractNumber: 123456785
SEID 1.0, serialNumber, rule: valid
SEID 1.0, organizationName, extractNumber: 123456785
SEID 1.0, organizationName, rule: valid
SEID 2.0, extractNumber: null
SEID 2.0, rule: Organization number not detected.
SEID 2.0, 2.5.4.97: valid
SEID 2.0, organizationIdentifier: java.lang.IllegalArgumentException: Unknown object id - organizationIdentifier - passed to distinguished name'
echo "$got"
[[ $got == "$want" ]] || { echo "this has changed" >&2; exit 1; }
echo "as described"
