import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicLong;
import java.util.zip.Deflater;
import java.util.zip.GZIPOutputStream;
import org.eclipse.jetty.alpn.server.ALPNServerConnectionFactory;
import org.eclipse.jetty.http2.server.HTTP2ServerConnectionFactory;
import org.eclipse.jetty.io.Content;
import org.eclipse.jetty.server.*;
import org.eclipse.jetty.util.Callback;
import org.eclipse.jetty.util.Fields;
import org.eclipse.jetty.util.ssl.SslContextFactory;

/**
 * An API host in Jetty. Usage: Host.java (http|https|http2) port keystore streams. It
 * serves what the type host in hosts_test.go describes, until standard input ends.
 */
public class Host extends Handler.Abstract {
    private final Map<String, AtomicLong> counts = new ConcurrentHashMap<>();

    @Override
    public boolean handle(Request req, Response res, Callback done) throws Exception {
        Fields.Field field = Request.extractQueryParameters(req).get("sign_id");
        String id = field == null ? "" : field.getValue();
        if (req.getHttpURI().getPath().equals("/counts")) {
            StringBuilder text = new StringBuilder();
            counts.forEach((call, n) -> text.append(call).append(' ').append(n).append('\n'));
            Content.Sink.write(res, true, text.toString(), done);
            return true;
        }
        counts.computeIfAbsent(req.getMethod() + " " + id, call -> new AtomicLong()).incrementAndGet();
        for (String name : new String[] {"Content-Length", "Transfer-Encoding"}) {
            String value = req.getHeaders().get(name);
            res.getHeaders().put("X-" + name, value == null ? "" : value);
        }
        if (id.startsWith("early")) {
            res.setStatus(Integer.parseInt(id.substring(5, 8)));
            Content.Sink.write(res, true, "early", done);
            return true;
        }
        long length = 0;
        try (var body = Content.Source.asInputStream(req)) {
            byte[] buffer = new byte[1 << 16];
            for (int n; (n = body.read(buffer)) >= 0; length += n) {}
        }
        res.getHeaders().put("X-Length", length);
        try (var out = Content.Sink.asOutputStream(res)) {
            byte[] error = "{\"error\":\"invalid_request\"}".getBytes(StandardCharsets.UTF_8);
            if (id.startsWith("gzip")) {
                res.setStatus(400);
                res.getHeaders().put("Content-Encoding", "gzip");
                try (var zip = new GZIPOutputStream(out)) {
                    zip.write(error);
                }
            } else if (id.startsWith("deflate")) {
                res.setStatus(400);
                res.getHeaders().put("Content-Encoding", "deflate");
                Deflater deflater = new Deflater();
                deflater.setInput(error);
                deflater.finish();
                byte[] coded = new byte[256];
                out.write(coded, 0, deflater.deflate(coded));
            } else if (id.startsWith("down")) {
                byte[] document = new byte[20 << 20];
                Arrays.fill(document, (byte) 'x');
                out.write(document);
            } else {
                out.write("ok".getBytes(StandardCharsets.UTF_8));
            }
        }
        done.succeeded();
        return true;
    }

    public static void main(String[] args) throws Exception {
        Server server = new Server();
        HttpConfiguration config = new HttpConfiguration();
        HttpConnectionFactory h1 = new HttpConnectionFactory(config);
        ServerConnector connector;
        if (args[0].equals("http")) {
            connector = new ServerConnector(server, h1);
        } else {
            config.addCustomizer(new SecureRequestCustomizer(false)); // an address has no SNI
            SslContextFactory.Server tls = new SslContextFactory.Server();
            tls.setKeyStorePath(args[2]);
            tls.setKeyStorePassword("changeit");
            if (args[0].equals("https")) {
                connector = new ServerConnector(server, new SslConnectionFactory(tls, "http/1.1"), h1);
            } else {
                HTTP2ServerConnectionFactory h2 = new HTTP2ServerConnectionFactory(config);
                h2.setMaxConcurrentStreams(Integer.parseInt(args[3]));
                ALPNServerConnectionFactory alpn = new ALPNServerConnectionFactory();
                alpn.setDefaultProtocol("http/1.1");
                connector = new ServerConnector(server, new SslConnectionFactory(tls, alpn.getProtocol()), alpn, h2, h1);
            }
        }
        connector.setHost("127.0.0.1");
        connector.setPort(Integer.parseInt(args[1]));
        server.addConnector(connector);
        server.setHandler(new Host());
        try {
            server.start();
        } catch (Exception e) {
            e.printStackTrace();
            System.exit(1); // otherwise its threads would go on
        }
        System.out.println(Server.getVersion());
        while (System.in.read() >= 0) {}
        System.exit(0);
    }
}
