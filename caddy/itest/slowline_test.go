package itest

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/esigngateway/caddy-bankid-esign/tokenauth/tokenauthtest"
)

// The gateway does not cut off an upload on a slow line, which makes progress all the time,
// although nginx sends nothing over HTTP/2 until it has read all of it. The upload takes
// longer than the time limit of a ping.
func TestSlowLineToTheAPI(t *testing.T) {
	const size = 7 << 20
	_, files := hostCertificate(t)
	h := startNginx(t, files)("h2", "ssl http2", 1000, 128)
	line := newWay(t, strings.TrimPrefix(h.origin, "https://"))
	line.add(t, toxic{"bandwidth", "upstream", `"rate":500`}) // KB/s
	h.origin = "https://" + line.Listen
	issuer := tokenauthtest.NewHTTPServer()
	t.Cleanup(issuer.Close)
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	g := startGateway(t, "issuer "+issuer.Issuer()+"\nclient_id app\nclient_secret {file."+secret+"}", fmt.Sprintf(`bankid_esign signdoc {
		callers local
		upstream signdoc %s
		%s
	}`, h.origin, h.transport(files)))
	res, _, err := hostCall(t, g, "POST", "up", bytes.NewReader(make([]byte, size)))
	if err != nil || res.StatusCode != http.StatusOK || res.Header.Get("X-Length") != fmt.Sprint(size) {
		t.Errorf("%v %s", err, statusOf(res))
	}
}
