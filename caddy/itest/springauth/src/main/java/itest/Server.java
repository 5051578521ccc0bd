package itest;

import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;

import org.springframework.boot.Banner;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.boot.builder.SpringApplicationBuilder;
import org.springframework.boot.web.server.servlet.context.ServletWebServerApplicationContext;
import org.springframework.context.annotation.Bean;
import org.springframework.security.config.annotation.web.builders.HttpSecurity;
import org.springframework.security.config.annotation.web.configuration.WebSecurityCustomizer;
import org.springframework.security.oauth2.core.AuthorizationGrantType;
import org.springframework.security.oauth2.core.ClientAuthenticationMethod;
import org.springframework.security.oauth2.jose.jws.SignatureAlgorithm;
import org.springframework.security.oauth2.server.authorization.client.RegisteredClient;
import org.springframework.security.oauth2.server.authorization.client.RegisteredClientRepository;
import org.springframework.security.oauth2.server.authorization.settings.ClientSettings;
import org.springframework.security.web.SecurityFilterChain;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.PathVariable;
import org.springframework.web.bind.annotation.PutMapping;
import org.springframework.web.bind.annotation.RequestBody;
import org.springframework.web.bind.annotation.RestController;

/**
 * Runs Spring Authorization Server until standard input ends, on a free port of the
 * loopback interface. The one line of output is the issuer. PUT /clients registers a
 * client, or replaces it. The body is its metadata (RFC 7591). OpenID Connect is not
 * enabled, so the server has only the metadata document of RFC 8414.
 */
@SpringBootApplication
@RestController
public class Server {
	private final Map<String, RegisteredClient> clients = new ConcurrentHashMap<>();
	private final Map<String, Object> keys = new ConcurrentHashMap<>();
	private final ServletWebServerApplicationContext context;

	public Server(ServletWebServerApplicationContext context) {
		this.context = context;
	}

	public static void main(String[] args) throws Exception {
		var context = new SpringApplicationBuilder(Server.class)
				.bannerMode(Banner.Mode.OFF)
				.properties("server.address=127.0.0.1", "server.port=0", "logging.level.root=OFF")
				.run(args);
		System.out.println(context.getBean(Server.class).issuer());
		System.in.transferTo(java.io.OutputStream.nullOutputStream());
		context.close();
	}

	@Bean
	SecurityFilterChain security(HttpSecurity http) throws Exception {
		return http.oauth2AuthorizationServer(server -> { }).build();
	}

	@Bean
	WebSecurityCustomizer unsecured() {
		return web -> web.ignoring().requestMatchers("/clients", "/keys/*");
	}

	@Bean
	RegisteredClientRepository repository() {
		return new RegisteredClientRepository() {
			@Override
			public void save(RegisteredClient client) {
				clients.put(client.getClientId(), client);
			}

			@Override
			public RegisteredClient findById(String id) {
				return findByClientId(id); // id and client id are the same here
			}

			@Override
			public RegisteredClient findByClientId(String id) {
				return clients.get(id);
			}
		};
	}

	@PutMapping("/clients")
	void register(@RequestBody Map<String, Object> metadata) {
		var id = (String) metadata.get("client_id");
		var settings = ClientSettings.builder();
		if (metadata.get("jwks") != null) {
			keys.put(id, metadata.get("jwks"));
			settings.jwkSetUrl(issuer() + "/keys/" + id)
					.tokenEndpointAuthenticationSigningAlgorithm(
							SignatureAlgorithm.from((String) metadata.get("token_endpoint_auth_signing_alg")));
		}
		var client = RegisteredClient.withId(id)
				.clientId(id)
				.clientAuthenticationMethod(
						new ClientAuthenticationMethod((String) metadata.get("token_endpoint_auth_method")))
				.scopes(scopes -> scopes.addAll(List.of(((String) metadata.get("scope")).split(" "))))
				.clientSettings(settings.build());
		if (metadata.get("client_secret") != null) {
			client.clientSecret("{noop}" + metadata.get("client_secret"));
		}
		for (var type : (List<?>) metadata.get("grant_types")) {
			client.authorizationGrantType(new AuthorizationGrantType((String) type));
		}
		clients.put(id, client.redirectUri("http://127.0.0.1/").build());
	}

	@GetMapping("/keys/{id}")
	Object keys(@PathVariable String id) {
		return keys.get(id);
	}

	private String issuer() {
		return "http://127.0.0.1:" + context.getWebServer().getPort();
	}
}
