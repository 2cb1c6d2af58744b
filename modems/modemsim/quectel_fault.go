package modemsim

// quectelFaults is what can go wrong, or be different, in Quectel's dialect alone.
type quectelFaults struct {
	noPubex  bool
	pubCtrlZ bool
	pemCRLF  bool
	badSum   int
	upperSum bool
	ufs      int
}

func init() {
	for _, row := range quectelFaultTable {
		luatMeaning[row.name], lierdaMeaning[row.name] = "", ""
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
}
