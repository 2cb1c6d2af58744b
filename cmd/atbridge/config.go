package main

// Config is the configuration file, key by key. The tags say what a value may be:
//
//	yaml   the key
//	oneof  the accepted words
//	min, max  the bounds of a number
//
// A Secret named x may also be given as x_file, and may come as the systemd credential that bears its key path,
// such as cloud.password.
type Config struct {
	Modem  *Modem `yaml:"modem"` // nil: only path host
	Cloud  Cloud  `yaml:"cloud"`
	Path   Path   `yaml:"path"`
	Local  Local  `yaml:"local"`
	Routes Routes `yaml:"routes"`
	Queue  Queue  `yaml:"queue"`
	Status Status `yaml:"status"`
	Log    Log    `yaml:"log"`

	// File is the file it came from, empty if none; Warnings are what is allowed but unwise, one sentence each.
	File     string
	Warnings []string
}

// Modem is the serial port and what the SIM and the network must be told.
type Modem struct {
	Port             string `yaml:"port"` // a device, usb:VID:PID, usb:VID:PID:ifNN or auto
	Baud             Baud   `yaml:"baud"`
	BaudUp           Baud   `yaml:"baud_up"` // the rate to run at once the modem is attached; 0: modem.baud
	Flow             string `yaml:"flow" oneof:"none,rtscts"`
	Driver           string `yaml:"driver"`
	APN              string `yaml:"apn"` // empty: what the network gives
	APNUser          string `yaml:"apn_user"`
	APNPassword      Secret `yaml:"apn_password"`
	APNAuth          string `yaml:"apn_auth" oneof:"none,pap,chap"`
	IP               string `yaml:"ip" oneof:"ipv4,ipv6,ipv4v6"`
	PIN              Secret `yaml:"pin"`
	Reset            string `yaml:"reset"` // none, dtr, rts, gpio:CHIP/LINE or exec:COMMAND
	Power            string `yaml:"power"` // none, or gpio:CHIP/LINE: the PWRKEY
	MaxResetsPerHour int    `yaml:"max_resets_per_hour" min:"0" max:"60"`
	AllowDangerous   bool   `yaml:"allow_dangerous"` // commands through the daemon that run code on the module
}

// Cloud is one broker, or exactly one platform.
type Cloud struct {
	Broker       []string `yaml:"broker"` // one URL or a list that is tried in turn
	ClientID     string   `yaml:"client_id"`
	Username     string   `yaml:"username"`
	Password     Secret   `yaml:"password"`
	KeepAlive    Duration `yaml:"keepalive"`
	CleanSession bool     `yaml:"clean_session"`
	Transport    string   `yaml:"transport" oneof:"auto,tcp,tls"` // to a platform; auto: tls if cloud.tls says anything
	TLS          TLS      `yaml:"tls"`

	Aliyun  *Aliyun  `yaml:"aliyun"`
	Easemob *Easemob `yaml:"easemob"`
	OneNET  *OneNET  `yaml:"onenet"`
	Tencent *Tencent `yaml:"tencent"`
	Huawei  *Huawei  `yaml:"huawei"`
	Baidu   *Baidu   `yaml:"baidu"`
	Tuya    *Tuya    `yaml:"tuya"`
	Azure   *Azure   `yaml:"azure"`

	brokers []Broker // Broker, parsed
}

// TLS names the certificates of an mqtts broker.
type TLS struct {
	CAFile     string `yaml:"ca_file"`
	CertFile   string `yaml:"cert_file"`
	KeyFile    string `yaml:"key_file"`
	ServerName string `yaml:"server_name"`
}

// Path is how the messages travel.
type Path struct {
	Mode   string `yaml:"mode" oneof:"auto,native,tcp,host"`
	Window int    `yaml:"window" min:"0" max:"65535"` // publishes in flight; 0: what the path allows
	Pull   bool   `yaml:"pull"`                       // path tcp: what comes waits in the module until it is read
}

// Local is the side of the house: the embedded broker, or an existing one.
type Local struct {
	Listen    string `yaml:"listen"` // host:port of the embedded broker
	WebSocket string `yaml:"websocket"`
	Broker    string `yaml:"broker"` // an existing one instead
	Username  string `yaml:"username"`
	Password  Secret `yaml:"password"`
}

// Routes say which messages travel: Up to the cloud, Down from it.
type Routes struct {
	Up   []Route `yaml:"up"`
	Down []Route `yaml:"down"`
}

// Route is one topic rule. It is checked by package bridge, which also applies it.
type Route struct {
	From     string `yaml:"from"`
	To       string `yaml:"to"`
	QoS      int    `yaml:"qos" min:"0" max:"1"`
	Priority string `yaml:"priority" oneof:"normal,high"`
	Wrap     string `yaml:"wrap" oneof:"alink"`
}

// Queue is the outbox on disk.
type Queue struct {
	Dir         string   `yaml:"dir"`
	MaxBytes    Size     `yaml:"max_bytes"`
	MaxMessages int      `yaml:"max_messages" min:"1" max:"100000000"`
	Full        string   `yaml:"full" oneof:"reject,drop-oldest"`
	Sync        Sync     `yaml:"sync"`
	MaxAge      Duration `yaml:"max_age"` // 0: never dropped for its age
}

// Status is what the daemon shows of itself.
type Status struct {
	Listen string `yaml:"listen"` // host:port; empty: no status page
	Socket string `yaml:"socket"`
}

// Log is what goes to stderr.
type Log struct {
	Level  string `yaml:"level" oneof:"debug,info,warn,error"`
	Format string `yaml:"format" oneof:"text,json"`
	Wire   bool   `yaml:"wire"`
}

// defaultConfig is what holds where neither flag, environment nor file says anything.
func defaultConfig() *Config {
	return &Config{
		Cloud:  Cloud{KeepAlive: Duration(120e9), Transport: "auto"},
		Path:   Path{Mode: "auto"},
		Queue:  Queue{Dir: "/var/lib/atbridge", MaxBytes: 64 << 20, MaxMessages: 100000, Full: "reject"},
		Status: Status{Socket: "/run/atbridge/control.sock"},
		Log:    Log{Level: "info", Format: "text"},
	}
}

// setDefaults of the sections that exist only where they are named, and of list entries.
func (m *Modem) setDefaults() {
	*m = Modem{Port: "auto", Baud: 115200, Flow: "none", Driver: "auto", APNAuth: "none", IP: "ipv4", Reset: "none", Power: "none", MaxResetsPerHour: 4}
}
func (r *Route) setDefaults() { *r = Route{QoS: 1, Priority: "normal"} }
