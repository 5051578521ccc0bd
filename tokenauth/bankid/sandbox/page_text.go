package sandbox

import (
	"fmt"
	"slices"
)

// languages are those of the pages for signers, which BankID has too, in the order of the
// columns of pageTexts. The first is the default.
func languages() []languageLink {
	return []languageLink{{Lang: "nb", Name: "Bokmål"}, {Lang: "nn", Name: "Nynorsk"}, {Lang: "en", Name: "English"}}
}

func isLanguage(lang string) bool {
	return slices.ContainsFunc(languages(), func(l languageLink) bool { return l.Lang == lang })
}

// pageText returns a text in a language.
func pageText(lang, name string) (string, error) {
	row, ok := pageTexts()[name]
	column := slices.IndexFunc(languages(), func(l languageLink) bool { return l.Lang == lang })
	if !ok || column < 0 {
		return "", fmt.Errorf("there is no text %q in the language %q", name, lang)
	}
	return row[column], nil
}

// pageTexts are the texts of the pages for signers: Bokmål, Nynorsk, English.
func pageTexts() map[string][3]string {
	return map[string][3]string{
		"sandbox": {
			"Dette er en sandkasse for utviklere. En signatur herfra binder ingen.",
			"Dette er ein sandkasse for utviklarar. Ein signatur herifrå bind ingen.",
			"This is a sandbox for developers. A signature from here binds nobody.",
		},
		"languages": {"Språk", "Språk", "Languages"},

		// The signing page.
		"sign-heading": {"Signer dokumenter", "Signer dokument", "Sign documents"},
		"order":        {"Oppdrag", "Oppdrag", "Order"},
		"documents":    {"Dokumenter", "Dokument", "Documents"},
		"open":         {"Åpne PDF", "Opne PDF", "Open the PDF"},
		"who":          {"Hvem signerer?", "Kven signerer?", "Who signs?"},
		"invented":     {"Personene er oppdiktet.", "Personane er oppdikta.", "These people are invented."},
		"born":         {"født", "fødd", "born"},
		"sign":         {"Signer", "Signer", "Sign"},
		"reject":       {"Avvis", "Avvis", "Reject"},

		// The end of an order.
		"unknown-heading":   {"Oppdraget finnes ikke", "Oppdraget finst ikkje", "This order does not exist"},
		"unknown":           {"Det er ukjent, for gammelt eller allerede hentet.", "Det er ukjent, for gammalt eller alt henta.", "It is unknown, too old, or has been downloaded."},
		"SIGN_COMPLETED":    {"Dokumentene er signert", "Dokumenta er signerte", "The documents are signed"},
		"REJECTED":          {"Signeringen er avvist", "Signeringa er avvist", "The signing was rejected"},
		"FAILED":            {"Signeringen feilet", "Signeringa feila", "The signing failed"},
		"TIMED_OUT":         {"Fristen for å signere er ute", "Fristen for å signere er ute", "The time to sign is over"},
		"ended":             {"Det er ikke mer å gjøre her.", "Det er ikkje meir å gjere her.", "There is nothing left to do here."},
		"back":              {"Tilbake til applikasjonen", "Tilbake til applikasjonen", "Back to the application"},
		"no-redirect":       {"Oppdraget har ingen redirectUrl. Du kan lukke siden.", "Oppdraget har ingen redirectUrl. Du kan lukke sida.", "The order has no redirectUrl. You can close this page."},
		"bad-redirect":      {"Nettleseren går ikke til denne redirectUrl:", "Nettlesaren går ikkje til denne redirectUrl:", "A browser does not go to this redirectUrl:"},
		"mistake-heading":   {"Noe er feil", "Noko er feil", "Something is wrong"},
		"mistake":           {"Gå tilbake og velg en person.", "Gå tilbake og vel ein person.", "Go back and choose a person."},
		"leaving":           {"Du blir sendt videre.", "Du blir send vidare.", "You are being sent on."},
		"approved-heading":  {"Du har godkjent", "Du har godkjent", "You approved"},
		"cancelled-heading": {"Du har avbrutt", "Du har avbrote", "You cancelled"},

		// CSC's authorize page.
		"authorize-heading": {"Godkjenn signering", "Godkjenn signering", "Approve a signature"},
		"authorize":         {"Denne klienten ber om å få signere for deg:", "Denne klienten bed om å få signere for deg:", "This client asks to sign for you:"},
		"approve":           {"Godkjenn", "Godkjenn", "Approve"},
		"cancel":            {"Avbryt", "Avbryt", "Cancel"},
	}
}
