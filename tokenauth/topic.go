package tokenauth

import (
	"regexp"
	"strings"
)

// topics say what the error_description of a refusal is about. The description itself is
// never shown, since it may repeat the request.
type topics uint

// The topics.
const (
	topicProof      topics = 1 << iota // the proof of a key (DPoP)
	topicAudience                      // the audience of the client assertion
	topicKey                           // the key that signed, or its signature
	topicMethod                        // the way in which the client authenticates
	topicAssertion                     // a client assertion that is missing or wrong
	topicSecret                        // a client secret that is missing
	topicGrant                         // the grant type
	topicDisabled                      // something is switched off
	topicTime                          // the time when something was made, or expires
	topicAlgorithm                     // the algorithm of a signature
	topicCredential                    // the client secret
	topicParameter                     // a parameter of the request, other than the credential
)

// topicWords match the words by which a topic is recognised.
var topicWords = map[topics]*regexp.Regexp{
	topicProof:      regexp.MustCompile(`\bdpop\b|\bproofs?\b`),
	topicAudience:   regexp.MustCompile(`\baud\b|\baudiences?\b`),
	topicKey:        regexp.MustCompile(`\bkid\b|\bjwks?\b|\b(public|signing) key|\bsignature\b`),
	topicMethod:     regexp.MustCompile(`auth(entication)?[ _]method|\bauthorization header\b|\bclient_secret_(basic|post|jwt)\b|\bprivate_key_jwt\b`),
	topicAssertion:  regexp.MustCompile(`\bclient[ _]assertion`),
	topicSecret:     regexp.MustCompile(`\bclient[ _]secret (is )?(missing|not provided|required)|\bmissing\b.*\bclient_secret\b`),
	topicGrant:      regexp.MustCompile(`\bgrant[ _]?types?\b|\bservice accounts?\b|\ballowed to use (the )?authorization grant\b|\bclient[ _]credentials (grant|flow)\b`),
	topicDisabled:   regexp.MustCompile(`\bdisabled\b|\bnot enabled\b|\bdeactivated\b|\bsuspended\b`),
	topicTime:       regexp.MustCompile(`\b(iat|nbf|exp)\b|\bexpired\b|\bfuture\b|\bnot (yet )?active\b|\btoo (old|early|late)\b|\bclocks?\b`),
	topicAlgorithm:  regexp.MustCompile(`\balg(orithm)?s?\b`),
	topicCredential: regexp.MustCompile(`\b(client[ _]?)?secrets?\b|\b(invalid|wrong|bad|expired) (client|credentials?)\b|\bcredentials? (\w+ )?expired\b`),
	topicParameter:  regexp.MustCompile(`\bparam(eter)?s?\b|\bclient_id\b|\bresource\b|\baudience (is )?(required|missing)\b|\b(missing|no|required) audience\b`),
}

// examples matches the examples in the definitions of RFC 6749 section 5.2. Some servers
// repeat the definitions, whatever the reason is.
var examples = regexp.MustCompile(`\((e\.g\.|other than)[^)]*\)`)

// otherProofs matches proofs that are not those of DPoP: PKCE (RFC 7636), and proof of
// possession by a client certificate (RFC 8705).
var otherProofs = regexp.MustCompile(`\bproof(-|\s)(key(-|\s)for(-|\s)code(-|\s)exchange|of(-|\s)possession)\b`)

// maxDescription is how many bytes of a description are looked at.
const maxDescription = 1 << 10

// topicsOf returns the topics of description, the error_description of a refusal.
func topicsOf(description string) (found topics) {
	description = strings.ToLower(description[:min(len(description), maxDescription)])
	description = examples.ReplaceAllString(description, "")
	description = otherProofs.ReplaceAllString(description, "")
	for topic, words := range topicWords {
		if words.MatchString(description) {
			found |= topic
		}
	}
	return found
}

// about reports whether t has one of the wanted topics.
func (t topics) about(wanted topics) bool { return t&wanted != 0 }
