package modemsim

// quectelFaults is what can go wrong, or be different, in Quectel's dialect alone.
type quectelFaults struct {
	noPubex    bool
	pubCtrlZ   bool
	pemCRLF    bool
	badSum     int
	upperSum   bool
	ufs        int
	qiopen     scripted
	sendFail   int
	sendBuffer int
	dropRecv   int
	recvZero   bool
	pushBare   bool
	qirdTail   bool
}

func init() {
	for _, row := range quectelFaultTable {
		if luatMeaning[row.name] == "" {
			luatMeaning[row.name] = ""
		}
		lierdaMeaning[row.name] = ""
	}
	faultTable = append(faultTable, quectelFaultTable...)
}

var quectelFaultTable = []fault{
	{"no-pubex", "", "a firmware without AT+QMTPUBEX: it has AT+QMTPUB, with a length or up to Ctrl-Z", flag(func(f *faults) *bool { return &f.noPubex })},
	{"pub-ctrlz", "", "the same, and AT+QMTPUB takes no length: Ctrl-Z ends every payload, ESC gives it up", flag(func(f *faults) *bool { return &f.pubCtrlZ })},
	{"pem-crlf", "", "a certificate file whose lines end with LF alone is not understood: +QMTOPEN: i,-1", flag(func(f *faults) *bool { return &f.pemCRLF })},
	{"bad-sum", "N", "every Nth AT+QFUPL stores a wrong byte, and its checksum tells", number(1, 1e9, func(f *faults) *int { return &f.badSum })},
	{"upper-sum", "", "checksums are in upper case", flag(func(f *faults) *bool { return &f.upperSum })},
	{"ufs", "BYTES", "the size of the file system, beyond which +CME ERROR: 420", number(1, 1e9, func(f *faults) *int { return &f.ufs })},
	{"qiopen", "ERR[xTIMES]", "the error that +QIOPEN tells, always or so many times; with -1 it never comes", script(1, ",", func(f *faults) *scripted { return &f.qiopen })},
	{"send-fail", "N", "every Nth AT+QISEND or AT+QISENDEX sends nothing and answers SEND FAIL", number(1, 1e9, func(f *faults) *int { return &f.sendFail })},
	{"send-buffer", "BYTES", "so much may be unacknowledged before AT+QISEND answers SEND FAIL (10240)", number(1, 1e9, func(f *faults) *int { return &f.sendBuffer })},
	{"drop-recv", "N", "every Nth +QIURC: \"recv\" of a buffered socket is not printed", number(1, 1e9, func(f *faults) *int { return &f.dropRecv })},
	{"recv-zero", "", "a new +QIURC: \"recv\" comes only after AT+QIRD has answered 0", flag(func(f *faults) *bool { return &f.recvZero })},
	{"push-bare", "", "no CR LF after data that comes with +QIURC: \"recv\"", flag(func(f *faults) *bool { return &f.pushBare })},
	{"qird-tail", "", "a blank line between the data of AT+QIRD and OK", flag(func(f *faults) *bool { return &f.qirdTail })},
}
