package tokenauth

import (
	"regexp"
	"strings"
)

// topics are what the description of a refusal is about. The description itself is
// never shown: it may repeat the request.
type topics uint

// The topics.
const (
	topicProof      topics = 1 << iota // the proof of a key (DPoP)
	topicAudience                      // the audience of the client assertion
	topicKey                           // the key that signed, or its signature
	topicMethod                        // the way in which the client authenticates
	topicAssertion                     // that there is no client assertion, or what is wrong with it
	topicSecret                        // that there is no secret
	topicGrant                         // the grant type
	topicDisabled                      // something is switched off
	topicTime                          // when something was made, or expires
	topicAlgorithm                     // the algorithm of a signature
	topicCredential                    // the secret
	topicParameter                     // a parameter of the request that says nothing of the client's credential
)

// topicWords are by what words a topic is known.
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

// examples match what RFC 6749 section 5.2 adds to its definitions, which some servers
// repeat whatever the reason is.
var examples = regexp.MustCompile(`\((e\.g\.|other than)[^)]*\)`)

// otherProofs match what is called a proof, and is none of DPoP: PKCE (RFC 7636), and
// what a client certificate gives (RFC 8705).
var otherProofs = regexp.MustCompile(`\bproof(-|\s)(key(-|\s)for(-|\s)code(-|\s)exchange|of(-|\s)possession)\b`)

// maxDescription is how much of a description is looked at.
const maxDescription = 1 << 10

// topicsOf returns what description, the error_description of a refusal, is about.
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

// about reports whether one of wanted is among t.
func (t topics) about(wanted topics) bool { return t&wanted != 0 }
