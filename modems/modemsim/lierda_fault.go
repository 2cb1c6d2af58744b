package modemsim

// lierdaFaults is what can be different in the dialect of Lierda alone.
type lierdaFaults struct {
	rom       string
	silent    bool
	quotedLen bool
	connRet   string
	openBare  bool
	uncertain int
	staleID   bool
	unsub     string
	noKey     string
	inlineMax int
	storm     int
}

func init() {
	for _, row := range lierdaFaultTable {
		owner[row.name] = "nt35e"
	}
	faultTable = append(faultTable, lierdaFaultTable...)
	meaning["nt35e"] = lierdaMeaning
	meaning["nt35e-q"] = map[string]string{"urcport": "", "iccid": "AT+LCCID, AT+ECICCID"}
}

var lierdaFaultTable = []fault{
	{"rom", "line|lierda", "the boot ROM's banner has a line end; or a line with the maker's name follows it", oneOf(func(f *faults) *string { return &f.rom }, "line", "lierda")},
	{"silent", "", "result URCs come only after AT+LMQTTCFG=\"urc\",0,1", flag(func(f *faults) *bool { return &f.silent })},
	{"quoted", "", "a payload that comes with its length stands in quotes", flag(func(f *faults) *bool { return &f.quotedLen })},
	{"conn-refused", "result", "a refused CONNECT is 0,1,N instead of 0,0,N", oneOf(func(f *faults) *string { return &f.connRet }, "result")},
	{"open-bare", "", "a failed open is 0,N instead of 0,-1,N", flag(func(f *faults) *bool { return &f.openBare })},
	{"uncertain", "N", "every Nth publish has the result 1: sent, with a wrong acknowledgement", number(1, 1e9, func(f *faults) *int { return &f.uncertain })},
	{"stale-id", "", "a result for another message comes before each publish's own", flag(func(f *faults) *bool { return &f.staleID })},
	{"unsub", "UNSUNSUB|UNSUBUNSUB|UNSUB", "how +LMQTTSUBUNSUB is spelt for an unsubscription", oneOf(func(f *faults) *string { return &f.unsub }, "UNSUNSUB", "UNSUBUNSUB", "UNSUB")},
	{"no-lcfg", "KEY", "AT+LMQTTCFG knows no such key", text(func(f *faults) *string { return &f.noKey })},
	{"inline-max", "N", "bytes of payload that AT+LMQTTPUB takes in its line (1024)", number(0, 1460, func(f *faults) *int { return &f.inlineMax })},
	{"stats-storm", "K", "after K publishes +LMQTTURC: STATS comes five times, and the link is gone", number(1, 1e9, func(f *faults) *int { return &f.storm })},
}

// lierdaMeaning is what the knobs of fault.go do here.
var lierdaMeaning = map[string]string{
	"iccid":           "AT+LCCID, AT+ECICCID",
	"qiact-error":     "AT+CGACT answers ERROR",
	"qiact-hang":      "",
	"pdpdeact":        "+CGEV: NW PDN DEACT 1 and +LMQTTURC: STATS",
	"pdp-drift":       "",
	"ghost":           "",
	"urcport":         "",
	"unquoted":        "",
	"nolength":        "recv/mode has no effect on the length",
	"no-recvmode":     "AT+LMQTTCFG=\"recv/mode\" answers ERROR",
	"no-edit-timeout": "",
	"view":            "",
	"empty-ok":        "",
	"close-idle":      "",
	"buffer":          "",
	"late-close":      "",
	"open":            "of AT+LMQTTOPEN, as its extended code; 2 is an id in use",
	"stat":            "+LMQTTURC: STATS,0,N",
	"noping":          "",
	"pubex-error":     "AT+LMQTTPUB",
}
