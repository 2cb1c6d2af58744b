package atcmd

import (
	"fmt"
	"strconv"
	"strings"
)

// CMEError is the <err> of "+CME ERROR: <err>", 3GPP TS 27.007 clause 9.2. A modem set to verbose errors sends the
// text; it is turned back into its number where 27.007 has it, and is UnknownCME else.
type CMEError int

// CMSError is the <err> of "+CMS ERROR: <err>", 3GPP TS 27.005 clause 3.2.5.
type CMSError int

// UnknownCME stands for a text that 27.007 does not have.
const UnknownCME CMEError = -1

func (e CMEError) Error() string {
	if text, ok := cmeText[e]; ok {
		return fmt.Sprintf("+CME ERROR: %d (%s)", int(e), text)
	}
	return fmt.Sprintf("+CME ERROR: %d", int(e))
}

// Words is what 27.007 calls the error; empty if it does not.
func (e CMEError) Words() string { return cmeText[e] }

// Words is what 27.005 calls the error; empty if it does not.
func (e CMSError) Words() string { return cmsText[e] }

func (e CMSError) Error() string {
	if text, ok := cmsText[e]; ok {
		return fmt.Sprintf("+CMS ERROR: %d (%s)", int(e), text)
	}
	return fmt.Sprintf("+CMS ERROR: %d", int(e))
}

// verboseError is a text in place of a number that the tables do not have.
type verboseError struct {
	code error
	text string
}

func (e verboseError) Error() string { return e.text }
func (e verboseError) Unwrap() error { return e.code }

func parseCME(s string) error {
	s = strings.TrimSpace(s)
	if n, err := strconv.Atoi(s); err == nil {
		return CMEError(n)
	}
	for n, text := range cmeText {
		if strings.EqualFold(text, s) {
			return n
		}
	}
	return verboseError{UnknownCME, "+CME ERROR: " + s}
}

func parseCMS(s string) error {
	s = strings.TrimSpace(s)
	if n, err := strconv.Atoi(s); err == nil {
		return CMSError(n)
	}
	for n, text := range cmsText {
		if strings.EqualFold(text, s) {
			return n
		}
	}
	return verboseError{CMSError(-1), "+CMS ERROR: " + s}
}

// The codes that drivers ask for by name.
const (
	CMENotAllowed     CMEError = 3
	CMENotSupported   CMEError = 4
	CMESIMNotInserted CMEError = 10
	CMESIMPIN         CMEError = 11
	CMESIMPUK         CMEError = 12
	CMESIMFailure     CMEError = 13
	CMESIMBusy        CMEError = 14
	CMEWrongPassword  CMEError = 16
)

// 27.007 9.2.1 (general), 9.2.2 (GPRS and EPS), with the wording of the standard.
var cmeText = map[CMEError]string{
	0:   "phone failure",
	1:   "no connection to phone",
	2:   "phone adaptor link reserved",
	3:   "operation not allowed",
	4:   "operation not supported",
	5:   "PH-SIM PIN required",
	6:   "PH-FSIM PIN required",
	7:   "PH-FSIM PUK required",
	10:  "SIM not inserted",
	11:  "SIM PIN required",
	12:  "SIM PUK required",
	13:  "SIM failure",
	14:  "SIM busy",
	15:  "SIM wrong",
	16:  "incorrect password",
	17:  "SIM PIN2 required",
	18:  "SIM PUK2 required",
	20:  "memory full",
	21:  "invalid index",
	22:  "not found",
	23:  "memory failure",
	24:  "text string too long",
	25:  "invalid characters in text string",
	26:  "dial string too long",
	27:  "invalid characters in dial string",
	30:  "no network service",
	31:  "network timeout",
	32:  "network not allowed - emergency calls only",
	40:  "network personalization PIN required",
	41:  "network personalization PUK required",
	42:  "network subset personalization PIN required",
	43:  "network subset personalization PUK required",
	44:  "service provider personalization PIN required",
	45:  "service provider personalization PUK required",
	46:  "corporate personalization PIN required",
	47:  "corporate personalization PUK required",
	48:  "hidden key required",
	49:  "EAP method not supported",
	50:  "incorrect parameters",
	51:  "command implemented but currently disabled",
	52:  "command aborted by user",
	53:  "not attached to network due to MT functionality restrictions",
	54:  "modem not allowed - MT restricted to emergency calls only",
	55:  "operation not allowed because of MT functionality restrictions",
	56:  "fixed dial number only allowed",
	57:  "temporarily out of service due to other MT usage",
	58:  "language/alphabet not supported",
	59:  "unexpected data value",
	60:  "system failure",
	61:  "data missing",
	62:  "call barred",
	63:  "message waiting indication subscription failure",
	100: "unknown",
	103: "illegal MS",
	106: "illegal ME",
	107: "GPRS services not allowed",
	108: "GPRS services and non-GPRS services not allowed",
	111: "PLMN not allowed",
	112: "location area not allowed",
	113: "roaming not allowed in this location area",
	114: "GPRS services not allowed in this PLMN",
	115: "no suitable cells in location area",
	122: "congestion",
	126: "insufficient resources",
	127: "missing or unknown APN",
	128: "unknown PDP address or PDP type",
	129: "user authentication failed",
	130: "request rejected by Serving GW or PDN GW",
	131: "request rejected, unspecified",
	132: "service option not supported",
	133: "requested service option not subscribed",
	134: "service option temporarily out of order",
	148: "unspecified GPRS error",
	149: "PDP authentication failure",
	150: "invalid mobile class",
}

// 27.005 3.2.5: 300 to 500, with the wording of the standard.
var cmsText = map[CMSError]string{
	300: "ME failure",
	301: "SMS service of ME reserved",
	302: "operation not allowed",
	303: "operation not supported",
	304: "invalid PDU mode parameter",
	305: "invalid text mode parameter",
	310: "SIM not inserted",
	311: "SIM PIN required",
	312: "PH-SIM PIN required",
	313: "SIM failure",
	314: "SIM busy",
	315: "SIM wrong",
	316: "SIM PUK required",
	317: "SIM PIN2 required",
	318: "SIM PUK2 required",
	320: "memory failure",
	321: "invalid memory index",
	322: "memory full",
	330: "SMSC address unknown",
	331: "no network service",
	332: "network timeout",
	340: "no +CNMA acknowledgement expected",
	500: "unknown error",
}
