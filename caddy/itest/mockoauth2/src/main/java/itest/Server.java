package itest;

import java.io.OutputStream;
import java.net.InetAddress;

import no.nav.security.mock.oauth2.MockOAuth2Server;
import no.nav.security.mock.oauth2.OAuth2Config;

/**
 * Runs mock-oauth2-server until standard input ends, on a free port of the loopback
 * interface. The first line of output is the issuer.
 */
public class Server {
	public static void main(String[] args) throws Exception {
		var server = new MockOAuth2Server(new OAuth2Config());
		server.start(InetAddress.getByName("127.0.0.1"), 0);
		System.out.println("http://127.0.0.1:" + server.baseUrl().port() + "/default");
		System.in.transferTo(OutputStream.nullOutputStream());
		server.shutdown();
		System.exit(0); // otherwise its threads would go on
	}
}
