package main

// The IoT platforms, in the words of their consoles. What each value becomes is the business of bridge/cloud.

// Aliyun is the Aliyun IoT Platform.
type Aliyun struct {
	ProductKey    string `yaml:"product_key"`
	DeviceName    string `yaml:"device_name"`
	DeviceSecret  Secret `yaml:"device_secret"`
	Region        string `yaml:"region"`
	InstanceID    string `yaml:"instance_id"` // empty: the old public instance
	ClientID      string `yaml:"client_id"`   // empty: product_key.device_name
	SignMethod    string `yaml:"sign_method" oneof:"hmacmd5,hmacsha1,hmacsha256"`
	Timestamp     string `yaml:"timestamp"` // empty: none in the client id; or a fixed number
	ProductSecret Secret `yaml:"product_secret"`
	Register      string `yaml:"register" oneof:"none,preregistered,unregistered"`
}

// Easemob is Easemob's MQTT service.
type Easemob struct {
	Host         string `yaml:"host"` // empty: APP_ID.cn1.mqtt.chat
	AppID        string `yaml:"app_id"`
	DeviceID     string `yaml:"device_id"`
	Username     string `yaml:"username"` // empty: the device's id
	ClientID     string `yaml:"client_id"`
	ClientSecret Secret `yaml:"client_secret"`
	APIURL       string `yaml:"api_url"` // empty: https://api.cn1.mqtt.chat/app/APP_ID
}

// OneNET is China Mobile's platform, its new MQTT access.
type OneNET struct {
	ProductID  string `yaml:"product_id"`
	DeviceName string `yaml:"device_name"`
	Key        Secret `yaml:"key"` // base64
	Method     string `yaml:"method" oneof:"md5,sha1,sha256"`
	Version    string `yaml:"version" oneof:"2018-10-31,2022-05-01"`
	Expires    int    `yaml:"expires" min:"0"` // Unix seconds; 0: a day from now
}

// Tencent is Tencent Cloud's IoT Hub.
type Tencent struct {
	ProductID    string `yaml:"product_id"`
	DeviceName   string `yaml:"device_name"`
	PSK          Secret `yaml:"psk"` // base64
	SignMethod   string `yaml:"sign_method" oneof:"hmacsha1,hmacsha256"`
	ConnectionID string `yaml:"connection_id"`
	Expires      int    `yaml:"expires" min:"0"`

	ProductSecret Secret `yaml:"product_secret"`
	Register      string `yaml:"register" oneof:"none,dynamic,dynamic-old"`
}

// Huawei is Huawei Cloud's IoTDA.
type Huawei struct {
	DeviceID string `yaml:"device_id"`
	Secret   Secret `yaml:"secret"`
	Host     string `yaml:"host"`
}

// Baidu is Baidu's IoT Core.
type Baidu struct {
	Core         string `yaml:"core"`
	DeviceKey    string `yaml:"device_key"`
	DeviceSecret Secret `yaml:"device_secret"`
	Region       string `yaml:"region"`
	Algorithm    string `yaml:"algorithm" oneof:"MD5,SHA256"`
	Timestamp    int    `yaml:"timestamp" min:"0"`
}

// Tuya is Tuya's cloud, by TuyaLink.
type Tuya struct {
	DeviceID     string `yaml:"device_id"`
	DeviceSecret Secret `yaml:"device_secret"`
	Host         string `yaml:"host"`              // empty: m1.tuyacn.com
	Timestamp    int    `yaml:"timestamp" min:"0"` // Unix seconds; 0: now
}

// Azure is an Azure IoT Hub.
type Azure struct {
	Hub      string `yaml:"hub"` // of HUB.azure-devices.net
	DeviceID string `yaml:"device_id"`
	Key      Secret `yaml:"key"`    // base64
	Policy   string `yaml:"policy"` // whose key it is; empty: the device's own
	Expires  int    `yaml:"expires" min:"0"`
}

func (a *Aliyun) setDefaults() {
	*a = Aliyun{Region: "cn-shanghai", SignMethod: "hmacsha256", Register: "none"}
}
func (o *OneNET) setDefaults()  { *o = OneNET{Method: "sha256", Version: "2018-10-31"} }
func (t *Tencent) setDefaults() { *t = Tencent{SignMethod: "hmacsha256", Register: "none"} }
func (b *Baidu) setDefaults()   { *b = Baidu{Algorithm: "SHA256"} }
