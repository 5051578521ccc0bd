#!/usr/bin/env bash
# Norway's ASiC library says of good containers that a file is not verified, because of its name.
#
# Software:  no.difi.commons:commons-asic 0.12.0 with jaxb-runtime 2.3.9, and EU DSS 6.4, all as
#            published on Maven Central.
# Behaviour: An ASiC-E container holds a PDF whose name has a space. If DSS has made it, by XAdES or
#            CAdES, commons-asic throws "File not verified" when it comes to the end. Of a name with "ø",
#            it does so if it has made the container itself, by XAdES: it writes "kj%C3%B8p.pdf" into the
#            signature, and looks for that name in the container. With XAdES, it writes a space as "+".
#            DSS finds every signature intact, and every file.
# Surprise:  The name is a URI there (ETSI EN 319 162-1), in which a space is "%20" and "ø" may be
#            "%C3%B8". A container that is tested with "test.pdf" works in both directions. The exception
#            is the one for a file that no signature is about.
# Needs:     bash, Java 17, Maven, OpenSSL.
# Output:    see "want" below.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
# project FOLDER GROUP:ARTIFACT:VERSION... writes the class path of these into the folder.
project() {
	local folder=$1 dependency
	shift
	mkdir -p "$folder"
	{
		echo '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion><groupId>finding</groupId><artifactId>finding</artifactId><version>0</version><dependencies>'
		for dependency; do
			IFS=: read -r group artifact version <<<"$dependency"
			echo "<dependency><groupId>$group</groupId><artifactId>$artifact</artifactId><version>$version</version></dependency>"
		done
		echo '</dependencies></project>'
	} >"$folder/pom.xml"
	(cd "$folder" && mvn -q -B org.apache.maven.plugins:maven-dependency-plugin:3.8.1:build-classpath -Dmdep.outputFile=classpath </dev/null >/dev/null)
}
# The two need different versions of BouncyCastle.
dss=eu.europa.ec.joinup.sd-dss
project commons no.difi.commons:commons-asic:0.12.0 org.glassfish.jaxb:jaxb-runtime:2.3.9
project dss $dss:dss-asic-cades:6.4 $dss:dss-asic-xades:6.4 $dss:dss-cms-object:6.4 $dss:dss-utils-google-guava:6.4 $dss:dss-policy-jaxb:6.4 $dss:dss-crl-parser-x509crl:6.4 $dss:dss-token:6.4 $dss:dss-validation:6.4
openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out certificate.pem -days 2 -subj /C=NO/CN=signer 2>/dev/null
openssl pkcs12 -export -in certificate.pem -inkey key.pem -name signer -passout pass:password -out signer.p12
cat >commons/Commons.java <<'JAVA'
import java.io.*;
import java.util.*;

import no.difi.asic.*;

public class Commons {
	static void make(String folder) throws Exception {
		for (SignatureMethod method : SignatureMethod.values()) {
			for (String name : Names.ALL) {
				AsicWriterFactory.newFactory(method).newContainer(new File(folder, "commons-asic, " + method + ", " + name))
						.add(new ByteArrayInputStream("document".getBytes()), name, MimeType.forString("application/pdf"))
						.sign(new SignatureHelper(new File("signer.p12"), "password", KeyStoreType.PKCS12, "signer", "password"));
			}
		}
	}

	static String read(File file) {
		SignatureMethod method = file.getName().contains("XAdES") ? SignatureMethod.XAdES : SignatureMethod.CAdES;
		try (AsicReader reader = AsicReaderFactory.newFactory(method).open(file)) {
			while (reader.getNextFile() != null) {
				reader.writeFile(new ByteArrayOutputStream());
			}
			return "good";
		} catch (Exception e) {
			return e.getMessage();
		}
	}

	public static void main(String[] args) throws Exception {
		if (args[0].equals("make")) {
			make(args[1]);
			return;
		}
		for (File file : Names.files(args[1])) {
			System.out.println(file.getName() + ": commons-asic " + read(file));
		}
	}
}
JAVA
cat >dss/Dss.java <<'JAVA'
import java.io.File;
import java.security.KeyStore.PasswordProtection;
import java.util.*;

import eu.europa.esig.dss.asic.cades.ASiCWithCAdESSignatureParameters;
import eu.europa.esig.dss.asic.cades.signature.ASiCWithCAdESService;
import eu.europa.esig.dss.asic.xades.ASiCWithXAdESSignatureParameters;
import eu.europa.esig.dss.asic.xades.signature.ASiCWithXAdESService;
import eu.europa.esig.dss.enumerations.*;
import eu.europa.esig.dss.model.*;
import eu.europa.esig.dss.spi.validation.CommonCertificateVerifier;
import eu.europa.esig.dss.token.Pkcs12SignatureToken;
import eu.europa.esig.dss.validation.SignedDocumentValidator;

public class Dss {
	static void make(String folder) throws Exception {
		var token = new Pkcs12SignatureToken(new File("signer.p12"), new PasswordProtection("password".toCharArray()));
		var key = token.getKeys().get(0);
		for (String name : Names.ALL) {
			List<DSSDocument> documents = List.of(new InMemoryDocument("document".getBytes(), name, MimeTypeEnum.PDF));

			var cades = new ASiCWithCAdESSignatureParameters();
			cades.aSiC().setContainerType(ASiCContainerType.ASiC_E);
			cades.setSignatureLevel(SignatureLevel.CAdES_BASELINE_B);
			cades.setDigestAlgorithm(DigestAlgorithm.SHA256);
			cades.setSigningCertificate(key.getCertificate());
			var first = new ASiCWithCAdESService(new CommonCertificateVerifier());
			var value = token.sign(first.getDataToSign(documents, cades), DigestAlgorithm.SHA256, key);
			first.signDocument(documents, cades, value).save(folder + "/DSS, CAdES, " + name);

			var xades = new ASiCWithXAdESSignatureParameters();
			xades.aSiC().setContainerType(ASiCContainerType.ASiC_E);
			xades.setSignatureLevel(SignatureLevel.XAdES_BASELINE_B);
			xades.setDigestAlgorithm(DigestAlgorithm.SHA256);
			xades.setSigningCertificate(key.getCertificate());
			var second = new ASiCWithXAdESService(new CommonCertificateVerifier());
			value = token.sign(second.getDataToSign(documents, xades), DigestAlgorithm.SHA256, key);
			second.signDocument(documents, xades, value).save(folder + "/DSS, XAdES, " + name);
		}
	}

	public static void main(String[] args) throws Exception {
		if (args[0].equals("make")) {
			make(args[1]);
			return;
		}
		for (File file : Names.files(args[1])) {
			var validator = SignedDocumentValidator.fromDocument(new FileDocument(file));
			validator.setCertificateVerifier(new CommonCertificateVerifier());
			var signature = validator.validateDocument().getDiagnosticData().getSignatures().get(0);
			boolean files = signature.getDigestMatchers().stream().allMatch(matcher -> matcher.isDataFound() && matcher.isDataIntact());
			System.out.println(file.getName() + ": DSS intact " + signature.isSignatureIntact() + ", files " + files);
		}
	}
}
JAVA
cat >Names.java <<'JAVA'
import java.io.File;
import java.util.Arrays;

class Names {
	static final String[] ALL = {"avtale.pdf", "avtale 1.pdf", "kjøp.pdf"};

	static File[] files(String folder) {
		File[] files = new File(folder).listFiles();
		Arrays.sort(files);
		return files;
	}
}
JAVA
export LC_ALL=C.UTF-8
javac -encoding UTF-8 -cp "$(<commons/classpath)" -d commons Names.java commons/Commons.java
javac -encoding UTF-8 -cp "$(<dss/classpath)" -d dss Names.java dss/Dss.java
difi() { java -XX:TieredStopAtLevel=1 -Dfile.encoding=UTF-8 -cp "commons:$(<commons/classpath)" Commons "$@" 2>/dev/null; }
validate() { java -XX:TieredStopAtLevel=1 -Dfile.encoding=UTF-8 -cp "dss:$(<dss/classpath)" Dss "$@" 2>/dev/null; }
mkdir containers
difi make containers
validate make containers
want='DSS, CAdES, avtale 1.pdf: DSS intact true, files true
DSS, CAdES, avtale 1.pdf: commons-asic File not verified: avtale 1.pdf
DSS, CAdES, avtale.pdf: DSS intact true, files true
DSS, CAdES, avtale.pdf: commons-asic good
DSS, CAdES, kjøp.pdf: DSS intact true, files true
DSS, CAdES, kjøp.pdf: commons-asic good
DSS, XAdES, avtale 1.pdf: DSS intact true, files true
DSS, XAdES, avtale 1.pdf: commons-asic File not verified: avtale 1.pdf
DSS, XAdES, avtale.pdf: DSS intact true, files true
DSS, XAdES, avtale.pdf: commons-asic good
DSS, XAdES, kjøp.pdf: DSS intact true, files true
DSS, XAdES, kjøp.pdf: commons-asic good
commons-asic, CAdES, avtale 1.pdf: DSS intact true, files true
commons-asic, CAdES, avtale 1.pdf: commons-asic good
commons-asic, CAdES, avtale.pdf: DSS intact true, files true
commons-asic, CAdES, avtale.pdf: commons-asic good
commons-asic, CAdES, kjøp.pdf: DSS intact true, files true
commons-asic, CAdES, kjøp.pdf: commons-asic good
commons-asic, XAdES, avtale 1.pdf: DSS intact true, files true
commons-asic, XAdES, avtale 1.pdf: commons-asic File not verified: avtale 1.pdf
commons-asic, XAdES, avtale.pdf: DSS intact true, files true
commons-asic, XAdES, avtale.pdf: commons-asic good
commons-asic, XAdES, kjøp.pdf: DSS intact true, files true
commons-asic, XAdES, kjøp.pdf: commons-asic File not verified: kjøp.pdf'
got=$({ validate read containers; difi read containers; } | LC_ALL=C sort)
echo "$got"
[[ $got == "$want" ]] || { echo "this has changed" >&2; exit 1; }
