import java.io.BufferedReader;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStreamReader;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import java.time.Duration;
import java.util.Base64;
import java.util.concurrent.Executors;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;
import org.springframework.core.io.FileSystemResource;
import org.springframework.http.HttpMethod;
import org.springframework.http.MediaType;
import org.springframework.http.client.JdkClientHttpRequestFactory;
import org.springframework.web.client.RestClient;

/** Makes the calls of standard input, as java.net.http.HttpClient or as Spring's RestClient. */
public class Callers {
    record Result(int status, String proxyStatus, byte[] body) {}

    static Duration patience;

    public static void main(String[] args) throws Exception {
        patience = Duration.ofSeconds(Long.parseLong(args[1]));
        var tls = trusting(Path.of(args[0]));
        // Version 2 is the default, so it is not set.
        var h1 = HttpClient.newBuilder().sslContext(tls).version(HttpClient.Version.HTTP_1_1).build();
        var h2 = HttpClient.newBuilder().sslContext(tls).build();
        var threads = Executors.newCachedThreadPool();
        var jobs = new BufferedReader(new InputStreamReader(System.in));
        System.out.println("ready");
        for (String line; (line = jobs.readLine()) != null; ) {
            var job = line.split("\t", -1);
            threads.execute(() -> System.out.println(job[0] + "\t" + made(job, job[2].equals("1") ? h1 : h2)));
        }
        System.exit(0);
    }

    static SSLContext trusting(Path pem) throws Exception {
        var store = KeyStore.getInstance(KeyStore.getDefaultType());
        store.load(null, null);
        try (var in = Files.newInputStream(pem)) {
            store.setCertificateEntry("ca", CertificateFactory.getInstance("X.509").generateCertificate(in));
        }
        var trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        trust.init(store);
        var context = SSLContext.getInstance("TLS");
        context.init(null, trust.getTrustManagers(), null);
        return context;
    }

    static String made(String[] job, HttpClient client) {
        try {
            var response = job[1].equals("spring") ? bySpring(job, client) : byJDK(job, client);
            return response.status + "\t" + response.proxyStatus + "\t" + Base64.getEncoder().encodeToString(response.body);
        } catch (Exception e) {
            return "0\t\t" + Base64.getEncoder().encodeToString(e.toString().getBytes());
        }
    }

    static Result byJDK(String[] job, HttpClient client) throws IOException, InterruptedException {
        var request = HttpRequest.newBuilder(URI.create(job[4])).timeout(patience).header("Content-Type", "application/json")
                .method(job[3], job[5].isEmpty() ? HttpRequest.BodyPublishers.noBody() : HttpRequest.BodyPublishers.ofFile(Path.of(job[5])))
                .build();
        var response = client.send(request, HttpResponse.BodyHandlers.ofByteArray());
        return new Result(response.statusCode(), response.headers().firstValue("Proxy-Status").orElse(""), response.body());
    }

    static Result bySpring(String[] job, HttpClient client) {
        var factory = new JdkClientHttpRequestFactory(client);
        factory.setReadTimeout(patience);
        var request = RestClient.builder().requestFactory(factory).build()
                .method(HttpMethod.valueOf(job[3])).uri(URI.create(job[4])).contentType(MediaType.APPLICATION_JSON);
        if (!job[5].isEmpty()) {
            request.body(new FileSystemResource(job[5]));
        }
        return request.exchange((sent, response) -> new Result(response.getStatusCode().value(),
                String.join(", ", response.getHeaders().getOrEmpty("Proxy-Status")), response.getBody().readAllBytes()));
    }
}
