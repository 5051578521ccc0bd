// Package longway has gateways send their calls through Caddy's reverse_proxy, for the
// tests that run on both ways to the API.
package longway

import "encoding/json"

// Take makes each gateway in config take the long way, by an option of reverse_proxy that
// changes nothing. config is a configuration of Caddy, or a part of one, as encoding/json
// decodes it.
func Take(config any) {
	switch config := config.(type) {
	case []any:
		for _, value := range config {
			Take(value)
		}
	case map[string]any:
		for _, value := range config {
			Take(value)
		}
		if config["handler"] != "bankid_esign" {
			return
		}
		proxy, _ := config["proxy"].(map[string]any)
		if proxy == nil {
			proxy = make(map[string]any)
			config["proxy"] = proxy
		}
		proxy["verbose_logs"] = false
	}
}

// TakeJSON returns the configuration raw after Take. It fails only if raw is not JSON.
func TakeJSON(raw []byte) ([]byte, error) {
	var config any
	if err := json.Unmarshal(raw, &config); err != nil {
		return nil, err
	}
	Take(config)
	return json.Marshal(config)
}
