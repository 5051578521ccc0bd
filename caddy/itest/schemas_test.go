package itest

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// A sandboxResponse is a response of the sandbox, as the tests of the sandbox and the
// journeys of the gateway record it if the environment variable ESIGN_RESPONSES names a
// folder.
type sandboxResponse struct {
	Test     string // that it was recorded in
	Method   string
	Path     string
	Status   int
	Type     string // Content-Type
	Location string
	Body     []byte
}

// call returns the method and path of the request, as the schemas name it.
func (r sandboxResponse) call() string {
	path := r.Path
	for _, of := range []string{"/.well-known/openid-configuration", "/protocol/openid-connect/"} {
		if i := strings.Index(path, of); i >= 0 {
			path = "{issuer}" + path[i:]
		}
	}
	return r.Method + " " + path
}

// A responseSchema says what the body of a response has to be: JSON that a schema
// describes, of another type, or, if it is the zero value, nothing.
type responseSchema struct {
	*jsonschema.Schema
	mediaType string
}

// responseSchemas are the schemas of a response, which must fit one of them.
type responseSchemas []responseSchema

// check returns what is wrong with a response.
func (s responseSchemas) check(r sandboxResponse) error {
	var wrong []error
	for _, schema := range s {
		err := schema.check(r)
		if err == nil {
			return nil
		}
		wrong = append(wrong, err)
	}
	return errors.Join(wrong...)
}

// check returns what is wrong with a response.
func (s responseSchema) check(r sandboxResponse) error {
	var value any
	switch {
	case s.Schema == nil && s.mediaType == "":
		if len(r.Body) != 0 {
			return errors.New("it has a body")
		}
		return nil
	case s.Schema == nil:
		if r.Type != s.mediaType {
			return errors.New("it has Content-Type " + r.Type)
		}
		return nil
	case r.Status == http.StatusFound:
		location, err := url.Parse(r.Location)
		if err != nil {
			return err
		}
		parameters := make(map[string]any)
		for name := range location.Query() {
			parameters[name] = location.Query().Get(name)
		}
		value = parameters
	default:
		if r.Type != "application/json" {
			return errors.New("it has Content-Type " + r.Type)
		}
		var err error
		if value, err = jsonschema.UnmarshalJSON(bytes.NewReader(r.Body)); err != nil {
			return err
		}
	}
	return s.Validate(value)
}

// readSchemas returns the schemas of the folder schemas, by call and status. The member
// "calls" of a file has for each call the name of a schema in "$defs", a media type, null
// for a response without a body, or a list of these.
func readSchemas(t *testing.T) map[string]map[int]responseSchemas {
	t.Helper()
	files, err := filepath.Glob("schemas/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no schemas: %v", err)
	}
	schemas := make(map[string]map[int]responseSchemas)
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var index struct {
			Calls map[string]map[string]schemaNames `json:"calls"`
		}
		if err := json.Unmarshal(content, &index); err != nil || len(index.Calls) == 0 {
			t.Fatalf("%s: no calls: %v", file, err)
		}
		for call, statuses := range index.Calls {
			if schemas[call] != nil {
				t.Errorf("%s: %s is in another file, too", file, call)
			}
			schemas[call] = make(map[int]responseSchemas)
			for text, names := range statuses {
				status, err := strconv.Atoi(text)
				if err != nil {
					t.Fatalf("%s: %s: %v", file, call, err)
				}
				for _, name := range names {
					var schema responseSchema
					switch {
					case name == nil:
					case strings.Contains(*name, "/"):
						schema.mediaType = *name
					default:
						if schema.Schema, err = compiler.Compile(file + "#/$defs/" + *name); err != nil {
							t.Fatal(err)
						}
					}
					schemas[call][status] = append(schemas[call][status], schema)
				}
			}
		}
	}
	return schemas
}

// schemaNames is one name, null, or a list of names.
type schemaNames []*string

func (n *schemaNames) UnmarshalJSON(text []byte) error {
	if bytes.HasPrefix(text, []byte("[")) {
		return json.Unmarshal(text, (*[]*string)(n))
	}
	var one *string
	err := json.Unmarshal(text, &one)
	*n = schemaNames{one}
	return err
}

// record runs tests of the published module, and calls use for each response of the
// sandbox that they record.
func record(t *testing.T, use func(sandboxResponse), arguments ...string) {
	t.Helper()
	dir := t.TempDir()
	command := exec.CommandContext(t.Context(), "go", append([]string{"test", "-count=1"}, arguments...)...)
	command.Dir = "../.."
	command.Env = append(os.Environ(), "ESIGN_RESPONSES="+dir)
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", command, err, out)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%v has recorded nothing: %v", command, err)
	}
	for _, file := range files {
		content, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		defer content.Close()
		for lines := json.NewDecoder(content); lines.More(); {
			var response sandboxResponse
			if err := lines.Decode(&response); err != nil {
				t.Fatal(err)
			}
			use(response)
		}
	}
}

// TestResponsesOfTheSandbox shows that every response of the sandbox, in its own tests
// and in the journeys of the gateway, is what BankID's documents describe, without
// additional members, and that each of the schemas was needed.
func TestResponsesOfTheSandbox(t *testing.T) {
	schemas := readSchemas(t)
	seen := make(map[string]bool)    // call and status
	wrong := make(map[string]string) // what is wrong, and the test where it was seen first
	check := func(r sandboxResponse) {
		kind := r.call() + " " + strconv.Itoa(r.Status)
		schema, ok := schemas[r.call()][r.Status]
		switch {
		case strings.HasPrefix(r.Path, "/sandbox/"): // BankID has none of these
			return
		case !ok && strings.HasPrefix(r.Type, "text/html"): // it is a page
			return
		case strings.HasPrefix(r.Test, "TestAssum"): // where BankID is said to differ from its documents
			return
		case strings.HasPrefix(r.Type, "text/plain") && (r.Status == http.StatusNotFound || r.Status == http.StatusMethodNotAllowed):
			return // there is no such call
		case !ok:
			wrong[kind+": there is no schema"] = r.Test
			return
		}
		seen[kind] = true
		if err := schema.check(r); err != nil {
			wrong[kind+": "+err.Error()] = r.Test
		}
	}
	record(t, check, "./tokenauth/bankid/sandbox")
	record(t, check, "-run", "TestJourney", "./caddy")
	for _, call := range slices.Sorted(maps.Keys(schemas)) {
		for status := range schemas[call] {
			if !seen[call+" "+strconv.Itoa(status)] {
				t.Errorf("no test has a response of status %d to %s", status, call)
			}
		}
	}
	for _, what := range slices.Sorted(maps.Keys(wrong)) {
		t.Errorf("%s (%s)", what, wrong[what])
	}
}

// TestSchemas shows that the schemas refuse what is not as documented: schemas that accept
// everything would prove nothing.
func TestSchemas(t *testing.T) {
	schemas := readSchemas(t)
	const call, token = "POST /csc/v2/credentials/authorize", "POST /csc/v2/oauth2/token"
	const order, hashes = "/v1/signdoc/pades", "POST /v0/b2b/cmses_from_hashes"
	const document = `{"description":"x","padesSignedPdf":"JVBERi0x","signedDocumentSha256":"mC2ePrmW9VnmM/TRlN7zdh2Qn1o7ZH0ahR/q1nwyydE=","unsignedDocumentSha256":"mC2ePrmW9VnmM/TRlN7zdh2Qn1o7ZH0ahR/q1nwyydE="}`
	result := func(more, of string) []byte {
		return []byte(`{"signId":"x","orderState":"SIGN_COMPLETED","orderName":"x",` + more + `"signingResults":[` + of + `]}`)
	}
	for name, test := range map[string]struct {
		call     string
		response sandboxResponse
		good     bool
	}{
		"good":              {call, sandboxResponse{Status: 200, Body: []byte(`{"SAD":"x","expiresIn":60}`)}, true},
		"additional member": {call, sandboxResponse{Status: 200, Body: []byte(`{"SAD":"x","expiresIn":60,"hint":"x"}`)}, false},
		"missing member":    {call, sandboxResponse{Status: 200, Body: []byte(`{"expiresIn":60}`)}, false},
		"good error":        {call, sandboxResponse{Status: 400, Body: []byte(`{"errorCode":"invalid_sad","errorDescription":"x","errorReference":"REF123456789"}`)}, true},
		"reference":         {call, sandboxResponse{Status: 400, Body: []byte(`{"errorCode":"invalid_sad","errorDescription":"x","errorReference":"REF12345678X"}`)}, false},
		"unknown code":      {call, sandboxResponse{Status: 400, Body: []byte(`{"errorCode":"invalid","errorDescription":"x","errorReference":"REF123456789"}`)}, false},
		"error of OAuth":    {call, sandboxResponse{Status: 401, Body: []byte(`{"error":"invalid_token","error_description":"x"}`)}, false},
		"error of CSC":      {token, sandboxResponse{Status: 401, Body: []byte(`{"errorCode":"invalid_token","errorDescription":"x","errorReference":"REF123456789"}`)}, false},
		"code of another":   {token, sandboxResponse{Status: 401, Body: []byte(`{"error":"invalid_token","error_description":"x"}`)}, false},
		"redirect":          {"GET /csc/v2/oauth2/authorize", sandboxResponse{Status: 302, Location: "https://rp.example/?a=b&code=x"}, true},
		"code and error":    {"GET /csc/v2/oauth2/authorize", sandboxResponse{Status: 302, Location: "https://rp.example/?code=x&error=invalid_scope&error_description=x"}, false},
		"new order":         {"POST " + order, sandboxResponse{Status: 201, Body: []byte(`{"sign_id":"x"}`)}, true},
		"other state":       {"GET " + order, sandboxResponse{Status: 200, Body: []byte(`{"signId":"x","orderState":"DONE","orderName":"x"}`)}, false},
		"older state":       {"GET " + order, sandboxResponse{Status: 200, Body: []byte(`{"sign_id":"x","status":"REJECTED"}`)}, false},
		"result":            {"DELETE " + order, sandboxResponse{Status: 200, Body: result("", document)}, true},
		"more of a result":  {"DELETE " + order, sandboxResponse{Status: 200, Body: result(`"sandbox":"x",`, document)}, false},
		"no hash":           {"DELETE " + order, sandboxResponse{Status: 200, Body: result("", `{"description":"x","padesSignedPdf":"JVBERi0x"}`)}, false},
		"result of v0":      {"DELETE /signdoc/pades", sandboxResponse{Status: 200, Body: result("", `{"description":"x","padesAppendix":"JVBERi0x"}`)}, true},
		"SignerInfo of v0":  {"DELETE /signdoc/pades", sandboxResponse{Status: 200, Body: result(`"signerInfo":"e.e.e",`, document)}, false},
		"message":           {"POST " + order, sandboxResponse{Status: 400, Body: []byte(`"x"`)}, true},
		"errors":            {"POST " + order, sandboxResponse{Status: 400, Body: []byte(`{"errors":["x"]}`)}, false},
		"reason of 401":     {"POST " + order, sandboxResponse{Status: 401, Body: []byte(`"x"`)}, false},
		"error of B2B":      {hashes, sandboxResponse{Status: 400, Body: []byte(`{"error":"invalid_request -- SIG-BB608","error_description":"x","error_reference":"x"}`)}, true},
		"code of SANDBOX":   {hashes, sandboxResponse{Status: 400, Body: []byte(`{"error":"invalid_request -- SANDBOX","error_description":"x","error_reference":"x"}`)}, false},
		"null for no hash":  {hashes, sandboxResponse{Status: 200, Body: []byte(`{"client_ocsp":"MIIA","sign_results":null}`)}, false},
		"text for OCSP":     {hashes, sandboxResponse{Status: 200, Body: []byte(`{"client_ocsp":"U0FOREJPWA==","sign_results":[]}`)}, false},
		"no hash, no CMS":   {hashes, sandboxResponse{Status: 200, Body: []byte(`{"client_ocsp":"MIIA","sign_results":[]}`)}, true},
	} {
		test.response.Type = "application/json"
		if err := schemas[test.call][test.response.Status].check(test.response); (err == nil) != test.good {
			t.Errorf("%s: %v", name, err)
		}
	}
	text := sandboxResponse{Status: 200, Type: "text/plain", Body: []byte(`{"SAD":"x","expiresIn":60}`)}
	if schemas[call][200].check(text) == nil {
		t.Error("another type: no error")
	}
	reply := sandboxResponse{Status: 200, Type: "application/timestamp-reply", Body: []byte{0x30}}
	if err := schemas["POST /v1/timestamp/token"][200].check(reply); err != nil {
		t.Errorf("one of two types: %v", err)
	}
}
