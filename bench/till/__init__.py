"""What a till costs: completing a sale, a cut line, a month without any."""
