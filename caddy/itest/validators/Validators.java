import eu.europa.esig.dss.model.FileDocument;
import eu.europa.esig.dss.spi.DSSUtils;
import eu.europa.esig.dss.spi.validation.CommonCertificateVerifier;
import eu.europa.esig.dss.spi.x509.CommonTrustedCertificateSource;
import eu.europa.esig.dss.validation.SignedDocumentValidator;
import java.io.BufferedReader;
import java.io.File;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.time.Instant;
import java.util.Date;
import org.apache.pdfbox.Loader;

/**
 * Prints what EU DSS and Apache PDFBox say of files. The argument is a trusted certificate. Each
 * line of input is the path of a file, for which there are lines of output, and an empty line.
 */
public class Validators {
  public static void main(String[] args) throws Exception {
    var trusted = new CommonTrustedCertificateSource();
    trusted.addCertificate(DSSUtils.loadCertificate(new File(args[0])));
    var in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    for (String path; (path = in.readLine()) != null; ) {
      // A person's certificate is valid for minutes, and a signature is validated later.
      dss("now", trusted, path, Instant.now());
      dss("later", trusted, path, Instant.now().plus(Duration.ofHours(2)));
      pdfbox(path);
      System.out.println();
    }
  }

  static void dss(String when, CommonTrustedCertificateSource trusted, String path, Instant time) {
    try {
      var verifier = new CommonCertificateVerifier(); // without a network
      verifier.setTrustedCertSources(trusted);
      var validator = SignedDocumentValidator.fromDocument(new FileDocument(path));
      validator.setCertificateVerifier(verifier);
      validator.setValidationTime(Date.from(time));
      var report = validator.validateDocument().getSimpleReport();
      for (String id : report.getSignatureIdList()) {
        System.out.printf("dss %s: %s %s %s by %s%n", when, report.getSignatureFormat(id), report.getIndication(id),
            report.getSubIndication(id), report.getSignedBy(id));
        for (var timestamp : report.getSignatureTimestamps(id)) {
          System.out.printf("dss %s time-stamp: %s %s%n", when, timestamp.getIndication(), timestamp.getSubIndication());
        }
      }
    } catch (Exception e) {
      System.out.printf("dss %s: %s%n", when, e);
    }
  }

  static void pdfbox(String path) {
    try (var document = Loader.loadPDF(new File(path))) {
      System.out.printf("pdfbox: %d pages, %d signatures%n", document.getNumberOfPages(), document.getSignatureDictionaries().size());
    } catch (Exception e) {
      System.out.printf("pdfbox: %s%n", e);
    }
  }
}
