#!/usr/bin/env bash
# HTTP clients of Java, Ruby, PHP and Perl return half a body as if it were all, without an error.
#
# Software:  java.net.HttpURLConnection of Java 17 (tried with OpenJDK 17.0.15); Net::HTTP of Ruby 3.1,
#            file_get_contents of PHP 8.2 and LWP::UserAgent 6.68, all of Debian 12; curl 7.88.1 for
#            comparison.
# Behaviour: The server announces 10 octets, sends 5 and closes the connection. All four return the 5
#            octets with the status 200. Of a chunked body without its end, Java and Ruby raise an error,
#            and PHP and Perl return what has come. curl has the exit status 18 for both.
# Surprise:  RFC 9112 section 8: a client "that receives an incomplete response message MUST record the
#            message as incomplete". A host or a proxy that fails in the middle of a document cannot say so
#            in another way. LWP has a header of its own for it, X-Died, and for the chunked body alone.
#            With Java and Ruby, it is the body whose length is known that is taken.
# Needs:     bash, curl, Java 17, Python 3; Debian's libwww-perl, php-cli and ruby.
# Output:    see "want" below.
set -euo pipefail
dir=$(mktemp -d)
trap 'kill "${server:-}" 2>/dev/null || true; rm -rf "$dir"' EXIT
cd "$dir"
cat >server.py <<'PY'
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Server(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.close_connection = True
        self.send_response(200)
        if self.path == "/chunked":
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(b"5\r\nfirst\r\n")
        else:
            self.send_header("Content-Length", "10")
            self.end_headers()
            self.wfile.write(b"first")

    def log_message(self, *args):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
print(server.server_port, flush=True)
server.serve_forever()
PY
cat >Get.java <<'JAVA'
import java.io.IOException;
import java.net.HttpURLConnection;
import java.net.URI;

public class Get {
	public static void main(String[] args) throws Exception {
		var connection = (HttpURLConnection) URI.create(args[0]).toURL().openConnection();
		try {
			System.out.println(connection.getResponseCode() + " " + new String(connection.getInputStream().readAllBytes()));
		} catch (IOException e) {
			System.out.println(e.getMessage());
		}
	}
}
JAVA
cat >get.rb <<'RUBY'
require "net/http"

begin
  response = Net::HTTP.get_response(URI(ARGV[0]))
  puts "#{response.code} #{response.body}"
rescue IOError => error
  puts error.class
end
RUBY
cat >get.php <<'PHP'
<?php
$body = file_get_contents($argv[1]);
echo explode(' ', $http_response_header[0])[1], ' ', $body === false ? 'false' : $body, "\n";
PHP
cat >get.pl <<'PERL'
use LWP::UserAgent;

my $response = LWP::UserAgent->new->get($ARGV[0]);
print $response->code, " ", $response->decoded_content, "\n";
PERL
python3 server.py >port &
server=$!
until [[ -s port ]]; do sleep 0.1; done
got=$(
	for path in length chunked; do
		url=http://127.0.0.1:$(<port)/$path
		echo "$path, Java: $(java -XX:TieredStopAtLevel=1 Get.java "$url")"
		echo "$path, Ruby: $(ruby get.rb "$url")"
		echo "$path, PHP: $(php get.php "$url")"
		echo "$path, Perl: $(perl get.pl "$url")"
		curl -s "$url" >/dev/null || echo "$path, curl: exit status $?"
	done
)
want='length, Java: 200 first
length, Ruby: 200 first
length, PHP: 200 first
length, Perl: 200 first
length, curl: exit status 18
chunked, Java: Premature EOF
chunked, Ruby: EOFError
chunked, PHP: 200 first
chunked, Perl: 200 first
chunked, curl: exit status 18'
echo "$got"
[[ $got == "$want" ]] || { echo "this has changed" >&2; exit 1; }
